package vpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Do calls fn on a thread in the router's network namespace; see namespace.Net.
func (v *VPC) Do(fn func() error) error { return v.net.Do(fn) }

// Listen is net.Listen inside the VPC; the listener works from any goroutine
// and stays there. The address is an IP address and a port.
func (v *VPC) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return v.ListenWith(ctx, net.ListenConfig{}, network, address)
}

// ListenWith is Listen with settings, for instance Control: TTL(1).
func (v *VPC) ListenWith(ctx context.Context, config net.ListenConfig, network, address string) (net.Listener, error) {
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	// Go's default, multipath TCP, refuses IP_TTL and costs time.
	config.SetMultipathTCP(false)
	var l net.Listener
	err := v.net.Do(func() (err error) {
		l, err = config.Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket is net.ListenPacket inside the VPC.
func (v *VPC) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	var conn net.PacketConn
	err := v.net.Do(func() (err error) {
		conn, err = config.ListenPacket(ctx, network, address)
		return err
	})
	return conn, err
}

// TTL returns a Control function for net.ListenConfig: packets of the socket,
// and of connections accepted from it, pass at most hops-1 routers.
func TTL(hops int) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, hops))
		}); cerr != nil {
			return cerr
		}
		return err
	}
}

// DialContext connects from the VPC's router to an IP address and port.
func (v *VPC) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return v.DialFrom(ctx, netip.Addr{}, network, address)
}

// DialFrom is DialContext with the source address from, one of the router's;
// the zero Addr leaves the choice to the kernel.
func (v *VPC) DialFrom(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	switch network {
	case "tcp", "tcp4":
		conn, err := v.dialTCP(ctx, from, to)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: err}
		}
		return conn, nil
	case "udp", "udp4":
		var d net.Dialer
		if from.IsValid() {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
		var conn net.Conn
		err := v.net.Do(func() (err error) {
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
}

// dialTCP makes the socket inside the VPC but waits for the connection outside,
// as any goroutine waits: a thread per connection under way would be too many
// when a backend has died under load.
func (v *VPC) dialTCP(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !to.Addr().Is4() {
		return nil, errors.New("the VPC has only IPv4")
	}
	fd := -1
	err := v.net.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	err = startConnect(fd, from, to)
	file := os.NewFile(uintptr(fd), "tcp socket")
	defer file.Close() // net.FileConn has its own descriptor
	if errors.Is(err, unix.EINPROGRESS) {
		err = waitConnect(ctx, file)
	}
	if err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// startConnect begins a connection; EINPROGRESS says that it is under way.
func startConnect(fd int, from netip.Addr, to netip.AddrPort) error {
	if from.IsValid() {
		// The port is chosen when the other end is known, so that a source
		// address has as many ports per backend, not in all.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	switch err {
	case unix.EINTR:
		err = unix.EINPROGRESS // it goes on
	case unix.EINVAL:
		err = unix.EHOSTUNREACH // a blackhole route says it so
	}
	return os.NewSyscallError("connect", err)
}

// waitConnect waits until the socket is connected, or the context has ended.
func waitConnect(ctx context.Context, file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch errno := syscall.Errno(code); {
		case err != nil:
			failed = os.NewSyscallError("getsockopt", err)
			return true
		case errno == 0:
			_, err := unix.Getpeername(int(fd))
			return err == nil // else woken early
		case errno == unix.EINPROGRESS || errno == unix.EALREADY || errno == unix.EINTR:
			return false
		default:
			failed = os.NewSyscallError("connect", errno)
			return true
		}
	})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return failed
}

// checkAddress refuses names: they would be looked up outside of the VPC.
func checkAddress(address string) error {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return fmt.Errorf("listen in the VPC: %w", err)
	}
	return nil
}
