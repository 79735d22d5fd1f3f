package autoscaling

import (
	"strings"
	"testing"
	"time"
)

// What is a policy's ARN names a policy whose ARN has the same parts.
func FuzzParsePolicyARN(f *testing.F) {
	f.Add("arn:aws:autoscaling:ap-northeast-2:111122223333:scalingPolicy:6f7e:autoScalingGroupName/web/2:policyName/cpu")
	f.Add("arn:aws:autoscaling:ap-northeast-2:111122223333:scalingPolicy:6f7e:resource/ecs/service/a/b:policyName/p:createdBy/c")
	f.Fuzz(func(t *testing.T, text string) {
		group, name, ok := ParsePolicyARN(text)
		if !ok {
			return
		}
		if group == "" || name == "" || !strings.HasSuffix(text, ":autoScalingGroupName/"+group+":policyName/"+name) {
			t.Errorf("%q has the group %q and the name %q", text, group, name)
		}
		s := &Service{}
		g, n, ok := ParsePolicyARN(s.PolicyARN(Policy{ID: "i", Group: group, Name: name}))
		if !ok || g != group || n != name {
			t.Errorf("%q and %q became %q and %q, %v", group, name, g, n, ok)
		}
	})
}

// A token is taken only as it was given.
func FuzzParseToken(f *testing.F) {
	f.Add(token64("web"))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseToken(text)
		if err == nil && token64(key) != strings.NewReplacer("\r", "", "\n", "").Replace(text) {
			t.Errorf("%q is the token after %q, which is %q", text, key, token64(key))
		}
		if key, err := parseToken(token64(text)); err != nil || key != text {
			t.Errorf("the token after %q is after %q, %v", text, key, err)
		}
	})
}

// A recurrence has a next time that is later, or none.
func FuzzParseRecurrence(f *testing.F) {
	f.Add("30 9 * * 1-5", "Asia/Seoul")
	f.Add("*/5 0-7/2 1,15 jan-mar 5-7", "")
	f.Add("TZ=UTC 1 1 1 1", "Local")
	f.Fuzz(func(t *testing.T, text, zone string) {
		schedule, err := ParseRecurrence(text, zone)
		if err != nil {
			return
		}
		now := time.Date(2026, 3, 8, 1, 59, 59, 0, time.UTC)
		if next := schedule.Next(now); !next.IsZero() && !next.After(now) {
			t.Errorf("%q in %q: after %v comes %v", text, zone, now, next)
		}
		if len(strings.Fields(text)) != 5 {
			t.Errorf("%q was taken for a recurrence", text)
		}
	})
}

// Prefixes of different groups never begin the same key.
func FuzzPrefix(f *testing.F) {
	f.Add("web", "web/2")
	f.Add("a%2F", "a/")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != b && (strings.HasPrefix(Prefix(a)+"x", Prefix(b)) || strings.HasPrefix(Prefix(b)+"x", Prefix(a))) {
			t.Errorf("%q is within %q", Prefix(a), Prefix(b))
		}
	})
}
