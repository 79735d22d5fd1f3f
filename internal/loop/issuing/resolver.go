package issuing

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// lookupTimeout is for one question and its answer, over UDP or TCP.
const lookupTimeout = 3 * time.Second

// DNS is the Resolver that asks a name server.
type DNS struct {
	// Address returns the server's host and port. It is asked anew each time, since
	// the region's own server may come up after the loop.
	Address func() string
	Timeout time.Duration // 0 is three seconds
}

// LookupCNAME implements Resolver. It follows nothing: a record that leads on to
// the right one shows nothing about who has set it.
func (d DNS) LookupCNAME(ctx context.Context, name string) (string, error) {
	timeout := d.Timeout
	if timeout == 0 {
		timeout = lookupTimeout
	}
	address := d.Address()
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", fmt.Errorf("looking up %s: the name server's address: %w", name, err)
	}
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeCNAME)
	q.SetEdns0(dns.DefaultMsgSize, false)
	client := &dns.Client{Net: "udp", Timeout: timeout}
	answer, _, err := client.ExchangeContext(ctx, q, address)
	if err == nil && answer.Truncated {
		client.Net = "tcp"
		answer, _, err = client.ExchangeContext(ctx, q, address)
	}
	if err != nil {
		return "", fmt.Errorf("looking up %s at %s: %w", name, address, err)
	}
	switch answer.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	default:
		return "", fmt.Errorf("looking up %s at %s: the server answered %s", name, address, dns.RcodeToString[answer.Rcode])
	}
	for _, rr := range answer.Answer {
		if cname, ok := rr.(*dns.CNAME); ok && sameName(cname.Hdr.Name, name) {
			return cname.Target, nil
		}
	}
	return "", nil
}
