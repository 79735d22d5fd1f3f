package cloudwatch_test

import (
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
)

// states are those of the alarms in these tests: a is in ALARM, o is OK, i has no data.
func states(name string) string {
	return map[string]string{"a": "ALARM", "a b": "ALARM", "o": "OK", "i": "INSUFFICIENT_DATA"}[name]
}

func TestRules(t *testing.T) {
	for rule, want := range map[string]bool{
		"ALARM(a)":                             true,
		`ALARM("a b")`:                         true,
		"ALARM(o)":                             false,
		"OK(o)":                                true,
		"INSUFFICIENT_DATA(i)":                 true,
		"ALARM(gone)":                          false,
		"NOT ALARM(gone)":                      true,
		"TRUE":                                 true,
		"NOT TRUE":                             false,
		"ALARM(a) AND NOT (OK(o) OR ALARM(i))": false,
		"ALARM(a) AND NOT (ALARM(o) OR ALARM(i))": true,
		"TRUE OR TRUE AND FALSE":                  true,
		"(TRUE OR TRUE) AND FALSE":                false,
		"NOT FALSE AND FALSE":                     false,
		"NOT NOT TRUE":                            true,
		"\tALARM( a )\n OR(FALSE)":                true,
		"ALARM(arn:aws:cloudwatch:ap-northeast-2:111122223333:alarm:a)": true,
		`OK("arn:aws:cloudwatch:ap-northeast-2:111122223333:alarm:a")`:  false,
		"AT_LEAST(2, OK, (a, o, i))":                                    false,
		"AT_LEAST(1, OK, (a, o, i))":                                    true,
		"AT_LEAST(66%, NOT OK, (a, o, i))":                              true,
		"AT_LEAST(67%, NOT OK, (a, o, i))":                              false,
	} {
		got, err := cloudwatch.EvaluateRule(rule, states)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", rule, got, err)
		}
	}
}

func TestRulesThatAreNone(t *testing.T) {
	for rule, want := range map[string]string{
		"":                       "at character 1: it ends too early",
		"ALARM":                  "at character 6: '(' is expected",
		"ALARM(":                 "at character 7: an alarm's name is expected",
		"ALARM()":                "at character 7: an alarm's name is expected",
		"ALARM(a":                "at character 8: ')' is expected",
		"ALARM(a) ALARM(o)":      "at character 10: unexpected 'ALARM'",
		"ALARM(a) AND":           "at character 13: it ends too early",
		"alarm(a)":               "at character 1: unexpected 'alarm'",
		`ALARM("a)`:              "at character 7: a name has no closing quotation mark",
		"(TRUE":                  "at character 6: ')' is expected",
		"AT_LEAST(x, OK, (a))":   "at character 10: a number or percentage is expected",
		"AT_LEAST(101%, OK,(a))": "at character 10: a number or percentage is expected",
		"AT_LEAST(2, OK, (a))":   "at character 21: AT_LEAST asks for more alarms than it has",
		strings.Repeat("(", 600) + "TRUE" + strings.Repeat(")", 600): "at character 501: it has more than 500 elements",
	} {
		_, err := cloudwatch.EvaluateRule(rule, states)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.50s: %v\nwant %s", rule, err, want)
		}
	}
	if _, err := cloudwatch.EvaluateRule(strings.Repeat(" ", 10240)+"TRUE", states); err == nil {
		t.Error("a long rule is read")
	}
}

// What is a rule is one whatever its alarms' states are, and names what it asks for.
func FuzzParseRule(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		r, err := cloudwatch.ParseRule(text)
		if err != nil {
			return
		}
		for _, state := range []string{"", "OK", "ALARM", "INSUFFICIENT_DATA"} {
			r.Holds(func(name string) string {
				found := false
				for _, n := range r.Names {
					found = found || n == name
				}
				if !found {
					t.Errorf("%q asks for %q, which is not in %q", text, name, r.Names)
				}
				return state
			})
		}
	})
}
