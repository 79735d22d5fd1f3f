package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseWrk(t *testing.T) {
	for file, want := range map[string]outcome{
		"clean":  {Requests: 61508, Seconds: 2.02, P50: 1.9, P99: 5.46},
		"none":   {Errors: 64, Seconds: 1.17},
		"errors": {Requests: 190, Errors: 48, Seconds: 61.2, P50: 0.812, P99: 1040},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "wrk", file+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseWrk(string(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", file, got, err, want)
		}
	}
	for _, text := range []string{
		"",
		"  1 requests in 1.00s, 1.00KB read\n",
		"     50%    1.00ms\n     99%    1.00ms\n",
		"     50%    1.00ms\n     99%    1.00ms\n  1 requests in 1.00x, 1.00KB read\n",
		"     50%    1.00ms\n     99%    1.00ms\n  99999999999999999999 requests in 1.00s, 1.00KB read\n",
	} {
		if got, err := parseWrk(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func FuzzParseWrk(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseWrk(text)
		if err == nil && !strings.Contains(text, " requests in ") {
			t.Errorf("%+v", o)
		}
	})
}

func TestPercentiles(t *testing.T) {
	var thousand []float64
	for n := range 1000 {
		thousand = append(thousand, float64(999-n))
	}
	for _, tt := range []struct {
		values   []float64
		p50, p99 float64
	}{
		{nil, 0, 0},
		{[]float64{7}, 7, 7},
		{[]float64{3, 1, 2}, 2, 3},
		{thousand, 500, 990},
	} {
		if p50, p99 := percentiles(tt.values); p50 != tt.p50 || p99 != tt.p99 {
			t.Errorf("%d values: %v and %v, want %v and %v", len(tt.values), p50, p99, tt.p50, tt.p99)
		}
	}
}

func TestParseRollup(t *testing.T) {
	text := `00400000-7fff0000 ---p 00000000 00:00 0                    [rollup]
Rss:               10000 kB
Pss:                6000 kB
Pss_Anon:           1000 kB
Shared_Clean:       5000 kB
Private_Clean:      1000 kB
Private_Dirty:      4000 kB
`
	want := memory{rss: 10.24, pss: 6.144, private: 5.12}
	if got, err := parseRollup(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, text := range []string{"", "Rss: 0 kB\n", "Rss: x kB\n"} {
		if got, err := parseRollup(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func TestPrintComparisons(t *testing.T) {
	who := []string{"Tarn", "HAProxy"}
	all := []comparison{
		{what: "small responses", unit: "requests/s", who: who, values: [][]float64{{30000, 10000, 20000.4}, {40000, 40000, 40000}}},
		{what: "… p99", unit: "ms", who: who, values: [][]float64{{4.5, 4, 5}, {3, 3, 3}}},
		{what: "… errors", who: who, values: [][]float64{{0, 2, 1}, {0, 0, 0}}, sum: true},
		{what: "… nothing", unit: "s", who: who, values: [][]float64{{12.34}, {0}}},
	}
	var out bytes.Buffer
	if err := printComparisons(&out, all); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(out.String(), "smallest–largest)\n\n")
	want := `
                                  Tarn              HAProxy        unit  Tarn ÷ HAProxy
  small responses  20000 (10000–30000)  40000 (40000–40000)  requests/s            0.50
            … p99     4.50 (4.00–5.00)     3.00 (3.00–3.00)          ms            1.50
         … errors                    3                    0
        … nothing     12.3 (12.3–12.3)     0.00 (0.00–0.00)           s
`
	got := "\n"
	for line := range strings.Lines(table) {
		got += strings.TrimRight(line, " \n") + "\n"
	}
	if got != want {
		t.Errorf("%s\nwant%s", got, want)
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(8)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if p <= 1024 || p > 65535 || seen[p] {
			t.Errorf("port %d of %v", p, ports)
		}
		seen[p] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d ports", len(seen))
	}
}
