package loadbalancer

import (
	"regexp"
	"testing"
)

func TestNames(t *testing.T) {
	classic := Placement{Name: "web", ID: "1", DNSName: "Web-7.ap-northeast-2.elb.amazonaws.com"}
	application := Placement{Name: "shop", ID: "50dc6c495c0c9188", Type: Application}
	if got := classic.Label() + " " + application.Label(); got != "web app/shop/50dc6c495c0c9188" {
		t.Errorf("labels: %s", got)
	}
	for name, want := range map[string]bool{
		"web-7.ap-northeast-2.elb.amazonaws.com":                     true,
		"WEB-7.ap-northeast-2.elb.amazonaws.com.":                    true,
		"dualstack.web-7.ap-northeast-2.elb.amazonaws.com":           true,
		"a.web-7.ap-northeast-2.elb.amazonaws.com":                   false,
		"web-70.ap-northeast-2.elb.amazonaws.com":                    false,
		"dualstack.dualstack.web-7.ap-northeast-2.elb.amazonaws.com": false,
		"": false,
	} {
		if classic.Named(name) != want {
			t.Errorf("%q is its name: %v", name, !want)
		}
	}
	for _, tt := range []struct{ scheme, region, want string }{
		{InternetFacing, "ap-northeast-2", `^web-\d{9,10}\.ap-northeast-2\.elb\.amazonaws\.com$`},
		{Internal, "cn-north-1", `^internal-web-\d{9,10}\.cn-north-1\.elb\.amazonaws\.com\.cn$`},
	} {
		if got := NewDNSName("web", tt.scheme, tt.region); !regexp.MustCompile(tt.want).MatchString(got) {
			t.Errorf("%s in %s: %s", tt.scheme, tt.region, got)
		}
	}
}

func TestPage(t *testing.T) {
	items := []string{"a", "b", "c", "d", "e"}
	key := func(s string) string { return s }
	var got []string
	var marker *string
	for range 3 {
		part, next, err := Page(items, key, new(int32(2)), marker)
		if err != nil {
			t.Fatal(err)
		}
		got, marker = append(got, part...), next
	}
	if len(got) != 5 || marker != nil {
		t.Errorf("%v, and then %v", got, marker)
	}
	_, next, _ := Page(items, key, new(int32(2)), nil)
	if part, _, err := Page([]string{"a", "c"}, key, nil, next); err != nil || len(part) != 1 || part[0] != "c" {
		t.Errorf("after the last one was deleted: %v, %v", part, err)
	}
	for _, size := range []int32{0, 401} {
		if _, _, err := Page(items, key, &size, nil); err == nil {
			t.Errorf("a page of %d", size)
		}
	}
	if _, _, err := Page(items, key, nil, new("?")); err == nil {
		t.Error("any marker is taken")
	}
}
