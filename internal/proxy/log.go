package proxy

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"
)

// entry is a line of the access log. Durations below 0 are for what did not come to pass, statuses of 0
// for what has none, and addresses that are not valid for nobody.
type entry struct {
	Time            time.Time
	Balancer        string
	Client, Backend netip.AddrPort

	RequestProcessing, BackendProcessing, ResponseProcessing time.Duration

	StatusELB, StatusBackend int
	Received, Sent           int64

	Method, Target, Host []byte // of HTTP; no method: not HTTP, or nothing that could be read
	Minor                int
	UserAgent            []byte
	Protocol             Protocol
	Port                 int
	Cipher, TLS          uint16 // of HTTPS and SSL
}

// append adds the line in the format of AWS's access logs of Classic Load Balancers:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html
func (e *entry) append(b []byte) []byte {
	b = e.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, ' ')
	b = append(b, e.Balancer...)
	b = append(b, ' ')
	b = appendAddress(b, e.Client)
	b = append(b, ' ')
	b = appendAddress(b, e.Backend)
	for _, d := range [...]time.Duration{e.RequestProcessing, e.BackendProcessing, e.ResponseProcessing} {
		b = appendSeconds(append(b, ' '), d)
	}
	for _, status := range [...]int{e.StatusELB, e.StatusBackend} {
		b = append(b, ' ')
		if status == 0 {
			b = append(b, '-')
		} else {
			b = strconv.AppendInt(b, int64(status), 10)
		}
	}
	b = strconv.AppendInt(append(b, ' '), e.Received, 10)
	b = strconv.AppendInt(append(b, ' '), e.Sent, 10)
	b = append(b, ' ', '"')
	b = e.appendRequest(b)
	b = append(b, '"', ' ', '"')
	if len(e.UserAgent) == 0 {
		b = append(b, '-')
	} else {
		b = appendQuoted(b, e.UserAgent)
	}
	b = append(b, '"', ' ')
	if name := cipherNames[e.Cipher]; e.Protocol.Secure() && name != "" {
		b = append(b, name...)
		b = append(b, ' ')
		b = append(b, versionNames[e.TLS]...)
	} else {
		b = append(b, '-', ' ', '-')
	}
	return append(b, '\n')
}

// appendRequest adds the request line with the whole address in it.
func (e *entry) appendRequest(b []byte) []byte {
	if len(e.Method) == 0 {
		return append(b, "- - - "...)
	}
	b = appendQuoted(b, e.Method)
	b = append(b, ' ')
	if !bytes.Contains(e.Target, []byte("://")) { // the origin form: the scheme and the host are elsewhere
		if e.Protocol == HTTPS {
			b = append(b, "https://"...)
		} else {
			b = append(b, "http://"...)
		}
		b = appendQuoted(b, e.Host)
		if colon := bytes.LastIndexByte(e.Host, ':'); colon < 0 || bytes.IndexByte(e.Host[colon:], ']') >= 0 {
			b = append(b, ':')
			b = strconv.AppendInt(b, int64(e.Port), 10)
		}
		if len(e.Target) == 0 || e.Target[0] != '/' {
			b = append(b, '/')
		}
	}
	b = appendQuoted(b, e.Target)
	b = append(b, " HTTP/1."...)
	return strconv.AppendInt(b, int64(e.Minor), 10)
}

func appendAddress(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, '-')
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).AppendTo(b)
}

// appendSeconds adds seconds with microseconds, or -1.
func appendSeconds(b []byte, d time.Duration) []byte {
	if d < 0 {
		return append(b, "-1"...)
	}
	us := d.Microseconds()
	b = strconv.AppendInt(b, us/1e6, 10)
	b = append(b, '.')
	for scale := int64(1e5); scale > 0; scale /= 10 {
		b = append(b, byte('0'+us/scale%10))
	}
	return b
}

// appendQuoted adds what a client sent such that it stays inside its quotes and its line.
func appendQuoted(b, s []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range s {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
