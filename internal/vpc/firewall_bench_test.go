package vpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// largeFirewall has n instances with 30 addresses each, in groups that name each
// other: all nodes, and those of one of ten node groups.
func largeFirewall(n int) Firewall {
	nodes := Group{ID: "sg-nodes", Egress: []Rule{{Protocol: AnyProtocol, Prefix: world}}, Ingress: []Rule{
		{Protocol: AnyProtocol, Group: "sg-nodes"},
		{Protocol: TCP, From: 443, To: 443, Prefix: testCIDR},
	}}
	f := Firewall{Groups: []Group{nodes}}
	for i := range 10 {
		g := Group{ID: fmt.Sprint("sg-", i)}
		for port := range 6 {
			g.Ingress = append(g.Ingress, Rule{Protocol: TCP, From: 8000 + port, To: 8000 + port, Group: fmt.Sprint("sg-", (i+port)%10)})
		}
		f.Groups = append(f.Groups, g)
	}
	for i := range n {
		eni := Interface{ID: fmt.Sprint("eni-", i), Groups: []string{"sg-nodes", fmt.Sprint("sg-", i%10)}}
		for j := range 30 {
			eni.Addresses = append(eni.Addresses, subnet.Nth(testCIDR, uint32(100+30*i+j)))
		}
		f.Interfaces = append(f.Interfaces, eni)
	}
	return f
}

func BenchmarkSetFirewall(b *testing.B) {
	set := func(b *testing.B, l *lab, f Firewall) {
		if err := l.SetFirewall(f); err != nil {
			b.Fatal(err)
		}
	}
	hundred, another := largeFirewall(100), largeFirewall(101)
	b.Run("from none to 100 instances", func(b *testing.B) {
		l := newLab(b)
		for b.Loop() {
			set(b, l, hundred)
			b.StopTimer()
			set(b, l, Firewall{})
			b.StartTimer()
		}
	})
	b.Run("from an unknown one to 100 instances", func(b *testing.B) {
		l := newLab(b)
		for b.Loop() {
			set(b, l, hundred)
			l.filter.firewall, l.filter.rules = nil, l.filter.rules.forgotten()
		}
	})
	b.Run("one instance more", func(b *testing.B) {
		l := newLab(b)
		set(b, l, hundred)
		for b.Loop() {
			set(b, l, another)
			b.StopTimer()
			set(b, l, hundred)
			b.StartTimer()
		}
	})
	b.Run("the same", func(b *testing.B) {
		l := newLab(b)
		set(b, l, hundred)
		for b.Loop() {
			set(b, l, hundred)
		}
	})
}

// forgotten is what is known of the rules after a start.
func (r ruleset) forgotten() ruleset {
	objects := map[string][]string{"chain": sorted(r.chains), "set": sorted(r.sets)}
	return named(objects)
}

// A TCP stream between two instances, with the firewall and without: what it
// costs a packet that belongs to a connection.
func BenchmarkStream(b *testing.B) {
	for _, filtered := range []bool{false, true} {
		b.Run(fmt.Sprint("filtered=", filtered), func(b *testing.B) {
			l := newLab(b)
			from, to := l.eni(1, 0, 10), l.eni(2, 2, 20)
			near, far := l.bare(b, from), l.bare(b, to)
			if filtered {
				f := largeFirewall(100)
				f.Interfaces = append(f.Interfaces, Interface{"eni-near", from.Addresses, []string{"sg-nodes"}}, Interface{"eni-far", to.Addresses, []string{"sg-nodes"}})
				f.Interfaces[0].Addresses = nil // they overlap
				if err := l.SetFirewall(f); err != nil {
					b.Fatal(err)
				}
			} else if err := l.Do(func() error {
				tx := l.filter.nft.NewTransaction()
				tx.Delete(&knftables.Table{})
				return l.filter.nft.Run(context.Background(), tx)
			}); err != nil {
				b.Fatal(err)
			}
			stream(b, near, far, netip.AddrPortFrom(to.Addresses[0], 80).String())
		})
	}
}

func (l *lab) bare(b *testing.B, e ENI) inside {
	set := namespace.Set{Net: e.Namespace}
	if err := errors.Join(namespace.Create(set), l.Attach(e)); err != nil {
		b.Fatal(err)
	}
	return set
}

// stream sends b.N megabytes.
func stream(b *testing.B, near, far inside, address string) {
	var l net.Listener
	err := far.Do(func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	conn, err := connect(near, "", address, 5*time.Second)
	if err != nil {
		b.Fatal(err)
	}
	sink, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan int64)
	go func() {
		buf := make([]byte, 1<<20)
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{sink}, buf)
		done <- n
	}()
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	b.ResetTimer()
	for range b.N {
		if _, err := conn.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	conn.Close()
	if n := <-done; n != int64(b.N)<<20 {
		b.Errorf("%d bytes arrived of %d MiB", n, b.N)
	}
	sink.Close()
}
