package iam

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
)

// FuzzIssuer: what is taken for an issuer has a name that leads back to it.
func FuzzIssuer(f *testing.F) {
	f.Add("https://oidc.eks.ap-northeast-2.amazonaws.com/id/AB12")
	f.Add("https://x/")
	f.Add("http://x:1/%2F?a#b")
	f.Fuzz(func(t *testing.T, s string) {
		name, err := issuer(s)
		if err != nil {
			return
		}
		if again, err := issuer("https://" + name); err != nil || again != strings.TrimSuffix(name, "/") {
			t.Errorf("%q is %q, and that %q, %v", s, name, again, err)
		}
	})
}

// FuzzMarker: any marker is refused, or leads to items in order.
func FuzzMarker(f *testing.F) {
	f.Add("YnJhdm8", int32(2))
	f.Add("!", int32(1))
	items := []string{"alpha", "bravo", "charlie"}
	f.Fuzz(func(t *testing.T, marker string, n int32) {
		in := &iamapi.ListRolesInput{Marker: &marker, MaxItems: &n}
		if check(in) != nil {
			return
		}
		part, truncated, next, err := page(items, itself, in.Marker, in.MaxItems)
		if err != nil {
			return
		}
		if len(part) > int(n) || *truncated != (next != nil) || !slices.IsSortedFunc(part, cmp.Compare) {
			t.Errorf("%v, %v, %v", part, *truncated, next)
		}
	})
}

// FuzzARN: no name of a policy, provider or principal makes trouble.
func FuzzARN(f *testing.F) {
	f.Add("arn:aws:iam::123456789012:policy/x/y")
	f.Add("arn:aws:iam::aws:policy/")
	f.Add("arn:aws:iam::1:oidc-provider/")
	s := New(Config{Account: account, Region: "cn-north-1"})
	f.Fuzz(func(t *testing.T, name string) {
		if a, err := policyARN(name); err == nil && a.String() != name {
			t.Errorf("%q became %q", name, a)
		}
		if p, err := s.providerName(name); err == nil && !strings.HasSuffix(name, "oidc-provider/"+p) {
			t.Errorf("%q names %q", name, p)
		}
		s.awsManaged(name)
	})
}
