package controlplane

import (
	"net"
	"sync"
)

// join makes one listener of several: kube-apiserver takes one, and ours has
// two faces, one in the VPC and one on the host's loopback. Its address is the
// first one's, which is the one that the API server advertises.
func join(listeners ...net.Listener) net.Listener {
	j := &joined{listeners: listeners, accepted: make(chan accept), closed: make(chan struct{})}
	for _, l := range listeners {
		j.wait.Add(1)
		go j.accept(l)
	}
	return j
}

type accept struct {
	conn net.Conn
	err  error
}

type joined struct {
	listeners []net.Listener
	accepted  chan accept
	closed    chan struct{}
	once      sync.Once
	wait      sync.WaitGroup
}

func (j *joined) accept(l net.Listener) {
	defer j.wait.Done()
	for {
		conn, err := l.Accept()
		select {
		case j.accepted <- accept{conn, err}:
		case <-j.closed:
			if conn != nil {
				_ = conn.Close()
			}
			return
		}
	}
}

func (j *joined) Accept() (net.Conn, error) {
	select {
	case a := <-j.accepted:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

func (j *joined) Close() error {
	var first error
	j.once.Do(func() {
		close(j.closed)
		for _, l := range j.listeners {
			if err := l.Close(); err != nil && first == nil {
				first = err
			}
		}
		j.wait.Wait()
	})
	return first
}

func (j *joined) Addr() net.Addr { return j.listeners[0].Addr() }
