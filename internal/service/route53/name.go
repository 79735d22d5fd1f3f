package route53

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// maxName is how long a name may be on the wire, in bytes.
const maxName = 255

// Name is a domain name as Route 53 writes it, whatever way it was written in:
// absolute, in lower case, and all but letters, digits, - and _ as \ooo, in
// octal. Its errors are in Route 53's words.
func Name(text string) (string, error) {
	labels, err := parseName(text)
	if err != nil {
		return "", err
	}
	return writeName(labels), nil
}

// DNSName writes a name of Route 53's as package dns does: DNSName of
// \052.example.com. is *.example.com. It must be one that Name returned.
func DNSName(name string) string {
	labels, err := parseName(name)
	if err != nil {
		return "."
	}
	var wire []byte
	for _, label := range labels {
		wire = append(append(wire, byte(len(label))), label...)
	}
	text, _, err := dns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		return "."
	}
	return text
}

// problem is Route 53's way to say what is wrong with a name or a value.
type problem struct{ code, text, with string }

func (p *problem) Error() string {
	return fmt.Sprintf("FATAL problem: %s (%s) encountered with '%s'", p.code, p.text, p.with)
}

// parseName reads a name into its labels, in lower case and with nothing escaped.
func parseName(text string) (labels []string, err error) {
	switch text {
	case "":
		return nil, &problem{"DomainNameEmpty", "Domain name is empty", text}
	case ".":
		return nil, nil
	}
	var label []byte
	size := 1
	end := func() error {
		switch {
		case len(label) == 0:
			return &problem{"DomainLabelEmpty", "Domain label is empty", text}
		case len(label) > 63:
			return &problem{"DomainLabelTooLong", "Domain label is too long", text}
		}
		labels, size, label = append(labels, string(label)), size+1+len(label), label[:0]
		if size > maxName {
			return &problem{"DomainNameTooLong", "Domain name is too long", text}
		}
		return nil
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '.':
			if err := end(); err != nil {
				return nil, err
			}
		case c == '\\':
			b, ok := octal(text[i+1:])
			if !ok {
				return nil, &problem{"InvalidEscapeSequence", "Value contains an invalid escape sequence", text}
			}
			label = append(label, lower(b))
			i += 3
		case c < '!' || c > '~':
			return nil, unsupported(text[i:])
		default:
			label = append(label, lower(c))
		}
	}
	if len(label) > 0 { // the last dot may be left out
		err = end()
	}
	return labels, err
}

// octal reads the three digits of an escaped byte.
func octal(text string) (b byte, ok bool) {
	if len(text) < 3 {
		return 0, false
	}
	n := 0
	for i := range 3 {
		if text[i] < '0' || text[i] > '7' {
			return 0, false
		}
		n = n*8 + int(text[i]-'0')
	}
	return byte(n), n <= 0xFF
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func writeName(labels []string) string {
	if len(labels) == 0 {
		return "."
	}
	var b strings.Builder
	for _, label := range labels {
		for i := range len(label) {
			c := label[i]
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
		b.WriteByte('.')
	}
	return b.String()
}

// below says whether a name is a zone's apex, or below it. Both are Name's.
func below(name, zone string) bool {
	return name == zone || zone == "." || strings.HasSuffix(name, "."+zone)
}
