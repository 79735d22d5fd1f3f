package main

import "testing"

func TestFit(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"✓ nodes", 80, "✓ nodes"},
		{"✓ nodes", 4, "✓ n"},
		{"✓ nodes", 7, "✓ node"},
		{"✓ nodes", 1, ""},
		{"✓ nodes", 0, "✓ nodes"}, // a serial console has no width
	} {
		if got := fit(test.text, test.width); got != test.want {
			t.Errorf("fit(%q, %d) = %q, want %q", test.text, test.width, got, test.want)
		}
	}
}
