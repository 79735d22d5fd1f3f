package proxy

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

const traceField = "X-Amzn-Trace-Id"

// maxTraced is how long a head may be whose trace is kept (“If the HTTP headers are greater than 7 KB, the
// load balancer rewrites the X-Amzn-Trace-Id header with a Root field”).
const maxTraced = 7 << 10

// trace gives a request its X-Amzn-Trace-Id: a Root if it has none, and else a Self before what it has:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html
func trace(x *http1.Exchange, h *http1.Header) {
	var room [256]byte
	var sent []byte
	if x.RequestHeadBytes <= maxTraced {
		sent = h.Get(traceField)
	}
	b, rooted := room[:0], false
	for rest := sent; len(rest) > 0 && !rooted; {
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte(";"))
		rooted = bytes.HasPrefix(bytes.TrimSpace(part), []byte("Root="))
	}
	if rooted {
		b = append(b, "Self="...)
	} else {
		b = append(b, "Root="...)
	}
	b = appendTrace(b, x.Received)
	for rest := sent; len(rest) > 0; {
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte(";"))
		if trimmed := bytes.TrimSpace(part); len(trimmed) > 0 && !bytes.HasPrefix(trimmed, []byte("Self=")) {
			b = append(append(b, ';'), trimmed...)
		}
	}
	h.Set(traceField, b)
}

// appendTrace adds the version, the time in seconds and a number of 96 bits.
func appendTrace(b []byte, now time.Time) []byte {
	b = append(b, '1', '-')
	b = appendHex(b, uint64(now.Unix()), 8)
	b = append(b, '-')
	b = appendHex(b, rand.Uint64(), 16)
	return appendHex(b, rand.Uint64(), 8)
}

// appendHex adds the last digits of n.
func appendHex(b []byte, n uint64, digits int) []byte {
	for digits--; digits >= 0; digits-- {
		b = append(b, "0123456789abcdef"[n>>(4*digits)&15])
	}
	return b
}
