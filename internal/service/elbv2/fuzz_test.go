package elbv2_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

func newInput(t reflect.Type) any { return reflect.New(t).Interface() }

func TestParseMatcher(t *testing.T) {
	for text, want := range map[string]string{
		"200": "[{200 200}]", "200,202": "[{200 200} {202 202}]", "200-299": "[{200 299}]", "200-204,401,499": "[{200 204} {401 401} {499 499}]",
		"": "", "199": "", "500": "", "200-": "", "-299": "", "299-200": "", "200,": "", "200 ": "", "+200": "", "0200": "", "200-202-204": "", "２００": "",
	} {
		ranges, err := elbv2.ParseMatcher(text)
		if got := fmt.Sprint(ranges); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
}

// What is a matcher is one again when it is written, and has statuses that a health
// check may want alone.
func FuzzParseMatcher(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		ranges, err := elbv2.ParseMatcher(text)
		if err != nil {
			return
		}
		var parts []string
		for _, r := range ranges {
			if r.From < 200 || r.To > 499 || r.From > r.To {
				t.Errorf("%q has %+v", text, r)
			}
			parts = append(parts, fmt.Sprintf("%d-%d", r.From, r.To))
		}
		again, err := elbv2.ParseMatcher(strings.Join(parts, ","))
		if err != nil || len(ranges) == 0 || !slices.Equal(again, ranges) {
			t.Errorf("%q is %+v, and again %+v, %v", text, ranges, again, err)
		}
	})
}
