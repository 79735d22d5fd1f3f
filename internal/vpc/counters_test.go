package vpc

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/namespace"
)

func TestCounters(t *testing.T) {
	l := newLab(t)
	a, b := l.eni(1, 0, 10), l.eni(2, 0, 20)
	sender, receiver := l.instance(a), l.instance(b)
	socket, err := listenIn(receiver, "192.168.0.20:80")()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	before, err := l.Counters()
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	got := make(chan int64, 1)
	go func() {
		conn, err := socket.Accept()
		if err != nil {
			got <- 0
			return
		}
		defer conn.Close()
		n, _ := io.Copy(io.Discard, conn)
		got <- n
	}()
	err = sender.Do(func() error {
		conn, err := net.DialTimeout("tcp4", "192.168.0.20:80", 5*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(make([]byte, size))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != size {
		t.Fatalf("%d bytes arrived", n)
	}
	after, err := l.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != 2 {
		t.Fatalf("the counters are of %v", after)
	}
	sent, received := since(after[a.ID], before[a.ID]), since(after[b.ID], before[b.ID])
	if sent.OutBytes < size || sent.OutBytes > size*11/10 || sent.InBytes > size/10 {
		t.Errorf("the sender: %+v", sent)
	}
	if received.InBytes < size || received.InBytes > size*11/10 || received.OutBytes > size/10 {
		t.Errorf("the receiver: %+v", received)
	}
	if sent.OutPackets == 0 || sent.InPackets == 0 || received.InPackets == 0 || received.OutPackets == 0 {
		t.Errorf("packets: %+v and %+v", sent, received)
	}
	if err := l.Detach(a.ID); err != nil {
		t.Fatal(err)
	}
	if left, err := l.Counters(); err != nil || len(left) != 1 {
		t.Errorf("after one was detached: %v, %v", left, err)
	}
}

func since(now, before Counters) Counters {
	return Counters{
		InBytes: now.InBytes - before.InBytes, OutBytes: now.OutBytes - before.OutBytes,
		InPackets: now.InPackets - before.InPackets, OutPackets: now.OutPackets - before.OutPackets,
	}
}

func BenchmarkCounters(b *testing.B) {
	l := newLab(b)
	for n := range 5 {
		e := l.eni(n+1, 0, uint32(10+n))
		if err := errors.Join(namespace.Create(namespace.Set{Net: e.Namespace}), l.Attach(e)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if all, err := l.Counters(); err != nil || len(all) != 5 {
			b.Fatal(all, err)
		}
	}
}
