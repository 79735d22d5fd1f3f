package controlplane

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestJoinServesAllItsListeners(t *testing.T) {
	first, second := listen(t), listen(t)
	joined := join(first, second)
	if got, want := joined.Addr().String(), first.Addr().String(); got != want {
		t.Errorf("address %s, want the first one's, %s", got, want)
	}
	for _, l := range []net.Listener{first, second} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := joined.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := server.LocalAddr().String(), l.Addr().String(); got != want {
			t.Errorf("accepted on %s, want %s", got, want)
		}
		_ = server.Close()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read after close: %v", err)
		}
		_ = client.Close()
	}
	if err := joined.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := joined.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := joined.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v, want net.ErrClosed", err)
	}
	if _, err := net.Dial("tcp", second.Addr().String()); err == nil {
		t.Error("the second listener is still open")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
