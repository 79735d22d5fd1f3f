package route53

import (
	"fmt"
	"strings"
)

// maxString is how long one string of a TXT record may be, in bytes.
const maxString = 255

// parseTXT reads one or more quoted strings. It returns them as package dns
// writes strings.
func parseTXT(value string) ([]string, error) {
	var list []string
	rest := strings.TrimLeft(value, " \t")
	for {
		end := -1
		if strings.HasPrefix(rest, `"`) {
			end = quoteEnd(rest)
		}
		if end < 0 {
			return nil, notQuoted(value)
		}
		text, err := unquote(rest[:end], value)
		if err != nil {
			return nil, err
		}
		list = append(list, escape(text))
		if rest = strings.TrimLeft(rest[end:], " \t"); rest == "" {
			return list, nil
		}
	}
}

func notQuoted(value string) error {
	return &problem{"InvalidCharacterString", "Value should be enclosed in quotation marks", value}
}

// unquote reads a quoted string, in which \ooo is a byte in octal and \ before
// anything else takes its meaning away. The value is for errors.
func unquote(quoted, value string) (string, error) {
	if len(quoted) < 2 || quoted[0] != '"' || quoteEnd(quoted) != len(quoted) {
		return "", notQuoted(value)
	}
	var b []byte
	for i := 1; i < len(quoted)-1; i++ {
		c := quoted[i]
		switch {
		case c < ' ' || c > '~':
			return "", unsupported(quoted[i:])
		case c == '\\' && '0' <= quoted[i+1] && quoted[i+1] <= '9':
			n, ok := octal(quoted[i+1 : len(quoted)-1])
			if !ok {
				return "", &problem{"InvalidEscapeSequence", "Value contains an invalid escape sequence", value}
			}
			c, i = n, i+3
		case c == '\\':
			i++
			if c = quoted[i]; c < ' ' || c > '~' {
				return "", unsupported(quoted[i:])
			}
		}
		b = append(b, c)
	}
	if len(b) > maxString {
		return "", &problem{"CharacterStringTooLong", "Value is too long", quoted}
	}
	return string(b), nil
}

// unsupported names the character that text begins with.
func unsupported(text string) error {
	for _, c := range text {
		return &problem{"UnsupportedCharacter", "Value contains unsupported characters", string(c)}
	}
	return nil
}

// escape writes a string as package dns does, which counts in tens.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
