package conformance

import (
	"math"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// values generates values for the structs of package api.
type values struct {
	*rand.Rand
	xml        bool // texts that XML can carry
	noEmpty    bool // lists without elements cannot be sent
	noEmptyMap bool // nor maps
	noFloats   bool // NaN and the infinities cannot be sent
	everything bool // all members are there
}

var timeType = reflect.TypeFor[time.Time]()

// options are those of a field's tag.
func options(f reflect.StructField) []string {
	_, opts, _ := strings.Cut(f.Tag.Get("aws"), ",")
	return strings.Split(opts, ",")
}

// structure fills the members of v: what is required, and some of the rest.
func (g *values) structure(v reflect.Value, depth int) {
	t := v.Type()
	set := false
	for i := range t.NumField() {
		opts := options(t.Field(i))
		must := slices.Contains(opts, "req") || slices.Contains(opts, "token") || slices.Contains(opts, "uri")
		chance := 0.6
		if depth > 3 {
			chance = 0.2
		}
		if !must && !(g.everything && depth < 3) && g.Float64() > chance {
			continue
		}
		g.member(v.Field(i), opts, depth, must)
		set = true
	}
	if !set && t.NumField() > 0 && depth > 0 {
		// Some member must be there: an empty structure cannot be sent in a query.
		for i := range t.NumField() {
			opts := options(t.Field(i))
			if g.member(v.Field(i), opts, depth, true); t.Field(i).Type.Kind() != reflect.Slice {
				return
			}
		}
	}
}

func (g *values) member(v reflect.Value, opts []string, depth int, must bool) {
	switch {
	case slices.Contains(opts, "uri"), slices.Contains(opts, "header"):
		if v.Kind() == reflect.Pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		if v.Kind() == reflect.String {
			text := "plain-" + string(rune('a'+g.IntN(26)))
			if slices.Contains(opts, "uri") {
				text += pick(g, "", "/arn:aws:x", " %2F+ü", "?q=1&r#", "..")
			}
			v.SetString(text)
			return
		}
	}
	inQuery := slices.Contains(opts, "query") // where a list without elements cannot be sent
	g.value(v, depth, must || inQuery)
	if list, ok := v.Interface().([]string); ok && inQuery {
		// As the SDK does when it signs the request.
		escaped := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
		slices.SortFunc(list, func(a, b string) int { return strings.Compare(escaped(a), escaped(b)) })
	}
}

// value fills v with anything but what stands for absence.
func (g *values) value(v reflect.Value, depth int, some bool) {
	if v.Type() == timeType {
		ms := g.Int64N(7e12) // to the year 2191; the SDK's own times end in 2262
		if g.IntN(3) == 0 || int64(float64(ms)/1000*1e3) != ms {
			ms -= ms % 1000 // also where the SDK itself, which truncates, loses a millisecond
		}
		v.Set(reflect.ValueOf(time.UnixMilli(ms).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		g.value(v.Elem(), depth, some)
	case reflect.Struct:
		g.structure(v, depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, 1+g.IntN(40))
			for i := range b {
				b[i] = byte(g.Uint32())
			}
			v.SetBytes(b)
			return
		}
		n := g.IntN(4)
		if n == 0 && (some || g.noEmpty) {
			n = 1
		}
		if g.IntN(20) == 0 && depth < 2 {
			n = 12 // past the point where numbers sort as texts
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			g.element(v.Index(i), depth)
		}
	case reflect.Map:
		n := g.IntN(4)
		if n == 0 && (some || g.noEmpty || g.noEmptyMap) {
			n = 1
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			e := reflect.New(v.Type().Elem()).Elem()
			g.element(e, depth)
			v.SetMapIndex(reflect.ValueOf(g.text()), e)
		}
	case reflect.String:
		v.SetString(g.text())
		if v.Type().Name() != "string" && v.Len() == 0 {
			v.SetString("SOME_VALUE") // "" stands for absence
		}
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.Int32:
		v.SetInt(pick(g, int64(g.Int32()), -int64(g.Int32()), 0, 1, math.MaxInt32, math.MinInt32))
	case reflect.Int64:
		v.SetInt(pick(g, g.Int64(), -g.Int64(), 0, 1<<53+1, math.MaxInt64, math.MinInt64))
	case reflect.Float32:
		v.SetFloat(float64(g.Float32()))
	case reflect.Float64:
		v.SetFloat(pick(g, g.NormFloat64(), g.ExpFloat64()*1e300, 0, 1e-300, 42, 1e21))
		if !g.noFloats && g.IntN(4) == 0 {
			v.SetFloat(pick(g, math.NaN(), math.Inf(1), math.Inf(-1)))
		}
	default:
		panic("no values for " + v.Type().String())
	}
}

func (g *values) element(v reflect.Value, depth int) {
	g.value(v, depth, true)
}

func (g *values) text() string {
	switch g.IntN(8) {
	case 0:
		return ""
	case 1:
		return " spaces and\ttabs "
	case 2:
		return "line\nbreaks\r\n<&>\"'\\/ =?&+%20;#"
	case 3:
		return "유니코드 ñ 😀 \u2028"
	case 4:
		if !g.xml {
			return "control\x00\x01\x1f\x7f"
		}
		return "]]>"
	case 5:
		return strings.Repeat("long", 300)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/"
	b := make([]byte, 1+g.IntN(20))
	for i := range b {
		b[i] = letters[g.IntN(len(letters))]
	}
	return string(b)
}

func pick[T any](g *values, of ...T) T { return of[g.IntN(len(of))] }
