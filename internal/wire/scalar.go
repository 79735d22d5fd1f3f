package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// timeFormat is how a timestamp is written.
type timeFormat uint8

const (
	timeDefault  timeFormat = iota // of the protocol and the place
	timeISO                        // 2006-01-02T15:04:05Z, with milliseconds if there are any
	timeISOMilli                   // 2006-01-02T15:04:05.000Z, as EC2 does
	timeUnix                       // seconds since 1970, with a fraction if there is one
	timeHTTP                       // Mon, 02 Jan 2006 15:04:05 GMT
)

var timeFormats = map[string]timeFormat{"iso8601": timeISO, "unix": timeUnix, "http": timeHTTP}

// or is f, or what the place usually has.
func (f timeFormat) or(usual timeFormat) timeFormat {
	if f == timeDefault {
		return usual
	}
	return f
}

func appendTime(b []byte, t time.Time, f timeFormat) []byte {
	t = t.UTC().Truncate(time.Millisecond)
	switch f {
	case timeUnix:
		ms := t.UnixMilli()
		if ms < 0 {
			b, ms = append(b, '-'), -ms
		}
		b = strconv.AppendInt(b, ms/1000, 10)
		if ms %= 1000; ms != 0 {
			b = fmt.Appendf(b, ".%03d", ms)
		}
		return b
	case timeHTTP:
		return t.AppendFormat(b, http.TimeFormat)
	case timeISOMilli:
		return t.AppendFormat(b, "2006-01-02T15:04:05.000Z")
	default:
		return t.AppendFormat(b, "2006-01-02T15:04:05.999Z")
	}
}

// parseTime reads a timestamp in the format f. Clients get some leeway: all
// ISO 8601 and HTTP forms and seconds since 1970 are understood where one of
// them is expected.
func parseTime(s string, f timeFormat) (time.Time, error) {
	s = strings.TrimSpace(s)
	if f == timeHTTP {
		return http.ParseTime(s)
	}
	if t, err := parseUnix(s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z", "2006-01-02", "20060102T150405Z"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a timestamp", shorten(s))
}

// parseUnix reads seconds since 1970 exactly, to the nanosecond.
func parseUnix(s string) (time.Time, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if sec, err := strconv.ParseInt(whole, 10, 64); err == nil && len(frac) <= 9 && inRange(float64(sec)) {
		ns, err := strconv.ParseUint((frac + "000000000")[:9], 10, 32)
		if err == nil {
			if whole[0] == '-' {
				return time.Unix(sec, -int64(ns)).UTC(), nil
			}
			return time.Unix(sec, int64(ns)).UTC(), nil
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}, err
	}
	return unixTime(n)
}

// unixTime is n seconds after 1970, to the millisecond: what a float holds of a
// time beyond that is noise.
func unixTime(n float64) (time.Time, error) {
	if !inRange(n) {
		return time.Time{}, errors.New("the timestamp is out of range")
	}
	return time.UnixMilli(int64(math.Round(n * 1000))).UTC(), nil
}

// inRange tells whether n is in the years 1 to 9999, and a number.
func inRange(n float64) bool { return n >= -62135596800 && n <= 253402300799 }

// parseScalar sets v, which is not a pointer, from its text form.
func parseScalar(v reflect.Value, k kind, s string, f timeFormat) error {
	switch k {
	case kindString:
		v.SetString(s)
	case kindBool:
		switch strings.ToLower(s) {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return fmt.Errorf("%q is neither true nor false", shorten(s))
		}
	case kindInt:
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not an integer of %d bits", shorten(s), v.Type().Bits())
		}
		v.SetInt(n)
	case kindFloat:
		n, err := parseFloat(s, v.Type().Bits())
		if err != nil {
			return err
		}
		v.SetFloat(n)
	case kindTime:
		t, err := parseTime(s, f)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(t))
	case kindBlob:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return errors.New("not base64")
		}
		v.SetBytes(b)
	default:
		return errors.New("a structure, list or map was expected")
	}
	return nil
}

func parseFloat(s string, bits int) (float64, error) {
	switch s {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	n, err := strconv.ParseFloat(s, bits)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is not a number", shorten(s))
	}
	return n, nil
}

// appendScalar appends the text form of v. It does not escape anything.
func appendScalar(b []byte, v reflect.Value, k kind, f timeFormat) []byte {
	switch k {
	case kindString:
		return append(b, v.String()...)
	case kindBool:
		return strconv.AppendBool(b, v.Bool())
	case kindInt:
		return strconv.AppendInt(b, v.Int(), 10)
	case kindFloat:
		return appendFloat(b, v.Float(), v.Type().Bits())
	case kindTime:
		return appendTime(b, v.Interface().(time.Time), f)
	case kindBlob:
		return base64.StdEncoding.AppendEncode(b, v.Bytes())
	}
	panic("wire: not a scalar")
}

func appendFloat(b []byte, n float64, bits int) []byte {
	switch {
	case math.IsNaN(n):
		return append(b, "NaN"...)
	case math.IsInf(n, 1):
		return append(b, "Infinity"...)
	case math.IsInf(n, -1):
		return append(b, "-Infinity"...)
	case n == math.Trunc(n) && math.Abs(n) < 1e15:
		return append(strconv.AppendFloat(b, n, 'f', -1, bits), ".0"...)
	}
	return strconv.AppendFloat(b, n, 'g', -1, bits)
}

// shorten keeps error messages readable.
func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
