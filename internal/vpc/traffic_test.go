package vpc

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// inside is a network namespace: an instance's, a pod's or the router's.
type inside interface{ Do(func() error) error }

// patience is how long a packet is waited for that must not come. One that must
// come is waited for 20 times as long.
const patience = 250 * time.Millisecond

// connect opens a TCP connection from an address, or any if that is "".
func connect(from inside, source, to string, wait time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: wait}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = d.Dial("tcp4", to)
		return err
	})
	return conn, err
}

// exchange asks an echoing UDP server for an answer.
func exchange(from inside, source, to string, wait time.Duration) error {
	d := net.Dialer{Timeout: wait}
	if source != "" {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(source)}
	}
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = d.Dial("udp4", to)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("?")); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(wait))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// errHops says that a packet went in circles.
var errHops = errors.New("too many hops")

// ping sends an ICMP echo and waits for the reply.
func ping(from inside, source, to string, wait time.Duration) error {
	var conn *icmp.PacketConn
	err := from.Do(func() (err error) {
		conn, err = icmp.ListenPacket("ip4:icmp", source)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	echo := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 7, Seq: 1, Data: []byte(to)}}
	data, err := echo.Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(data, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 100)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(1, buf[:n])
		if err == nil && m.Type == ipv4.ICMPTypeTimeExceeded {
			return errHops
		}
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if body, ok := m.Body.(*icmp.Echo); ok && string(body.Data) == to {
			return nil
		}
	}
}

// echoing answers every UDP datagram.
func echoing(t *testing.T, in inside, address string) {
	t.Helper()
	var conn net.PacketConn
	err := in.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
}

// serve answers TCP and UDP on an address.
func serve(t *testing.T, in inside, address string) {
	t.Helper()
	greeter(t, func() (l net.Listener, err error) {
		err = in.Do(func() (err error) {
			l, err = net.Listen("tcp4", address)
			return err
		})
		return l, err
	})
	echoing(t, in, address)
}

// flow is a connection that is tried; "tcp", "udp" or "icmp".
type flow struct {
	from     inside
	source   string // "": any
	protocol string
	to       string
	passes   bool
}

func checkFlow(t *testing.T, name string, f flow) {
	t.Helper()
	wait := patience
	if f.passes {
		wait *= 20
	}
	var err error
	switch f.protocol {
	case "tcp":
		var conn net.Conn
		if conn, err = connect(f.from, f.source, f.to, wait); err == nil {
			conn.Close()
		}
	case "udp":
		err = exchange(f.from, f.source, f.to, wait)
	case "icmp":
		source := f.source
		if source == "" {
			source = "0.0.0.0"
		}
		err = ping(f.from, source, f.to, wait)
	}
	if f.passes && err != nil {
		t.Errorf("%s: %s to %s: %v", name, f.protocol, f.to, err)
	}
	// Dropped, not refused: nothing comes back.
	var timeout net.Error
	if !f.passes && (!errors.As(err, &timeout) || !timeout.Timeout()) {
		t.Errorf("%s: %s to %s: %v, want a timeout", name, f.protocol, f.to, err)
	}
}

func checkFlows(t *testing.T, flows map[string]flow) {
	t.Helper()
	var all sync.WaitGroup
	for name, f := range flows {
		all.Go(func() { checkFlow(t, name, f) })
	}
	all.Wait()
}

func (l *lab) set(f Firewall) {
	l.t.Helper()
	if err := l.SetFirewall(f); err != nil {
		l.t.Fatal(err)
	}
}

// held is a TCP connection between two namespaces.
type held struct {
	*testing.T
	near, far net.Conn
}

// hold connects to a TCP port where nobody listens yet.
func hold(t *testing.T, from inside, to string, at inside) *held {
	t.Helper()
	var l net.Listener
	err := at.Do(func() (err error) {
		l, err = net.Listen("tcp4", to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := &held{T: t}
	if h.near, err = connect(from, "", to, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if h.far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.near.Close()
		h.far.Close()
	})
	return h
}

// pass sends a byte and waits for it at the other end.
func pass(from, to net.Conn, wait time.Duration) error {
	if _, err := from.Write([]byte{1}); err != nil {
		return err
	}
	to.SetReadDeadline(time.Now().Add(wait))
	_, err := to.Read(make([]byte, 1))
	return err
}

func (h *held) check(when string) {
	h.Helper()
	if err := errors.Join(pass(h.near, h.far, 5*time.Second), pass(h.far, h.near, 5*time.Second)); err != nil {
		h.Errorf("%s: the connection broke: %v", when, err)
	}
}

func (h *held) cut(when string) {
	h.Helper()
	if err := pass(h.near, h.far, patience); !errors.Is(err, os.ErrDeadlineExceeded) {
		h.Errorf("%s: the connection goes on: %v", when, err)
	}
}
