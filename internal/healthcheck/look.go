package healthcheck

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a look may take, and how much of a body is searched: as Route 53 has it.
//
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
const (
	connectTCP  = 10 * time.Second
	connectHTTP = 4 * time.Second
	answerHTTP  = 2 * time.Second
	searched    = 5120
	maxHead     = 64 << 10 // of a response
)

const timedOut = "Connection timed out. The endpoint or the internet connection is down, or requests are being blocked by your firewall. " +
	"See https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-router-firewall-rules.html"

// look looks once.
func (c *Checker) look(ctx context.Context, check Check) Observation {
	wait := connectHTTP
	if check.Kind == TCP {
		wait = connectTCP
	}
	connecting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	address, err := c.address(connecting, check)
	if err != nil {
		return failed(netip.Addr{}, "DNS resolution failed: "+err.Error())
	}
	// Who gave a name is told what it meant.
	resolved, suffix := "", ""
	if !check.Address.IsValid() {
		resolved, suffix = "Resolved IP: "+address.String()+". ", ". Resolved IP: "+address.String()
	}
	raw, err := c.cfg.Dial(connecting, "tcp", netip.AddrPortFrom(address, check.Port).String())
	if err != nil {
		return failed(netip.Addr{}, resolved+reason(err))
	}
	defer raw.Close()
	from := local(raw)
	if check.Kind == TCP {
		return Observation{From: from, Healthy: true, Status: "Success: Connection established" + suffix, Time: time.Now()}
	}
	// When nobody wants to know any more, nothing goes on waiting.
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	conn := raw
	if check.Kind == HTTPS {
		if conn, err = handshake(connecting, raw, check); err != nil {
			return failed(from, resolved+reason(err))
		}
	}
	_ = raw.SetDeadline(time.Now().Add(answerHTTP))
	if ctx.Err() != nil { // it may have ended before the deadline was set, and not be heard of again
		return failed(from, reason(ctx.Err()))
	}
	status, err := exchange(conn, check, address)
	if err != nil {
		return failed(from, resolved+reason(err))
	}
	return Observation{From: from, Healthy: true, Status: "Success: " + status + suffix, Time: time.Now()}
}

func failed(from netip.Addr, why string) Observation {
	return Observation{From: from, Status: "Failure: " + why, Time: time.Now()}
}

func local(conn net.Conn) netip.Addr {
	if at, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		return at.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// address is where to connect to: the one that was given, or the first IPv4 address of
// the host.
func (c *Checker) address(ctx context.Context, check Check) (netip.Addr, error) {
	if check.Address.IsValid() {
		return check.Address, nil
	}
	all, err := c.cfg.Resolve(ctx, check.Host)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range all {
		if a.Is4() {
			return a, nil
		}
	}
	return netip.Addr{}, errors.New("no IPv4 address")
}

// handshake begins TLS. What certificate the endpoint has does not matter.
func handshake(ctx context.Context, conn net.Conn, check Check) (net.Conn, error) {
	cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
	if check.SNI {
		cfg.ServerName = check.Host
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, &tlsError{err}
	}
	return secure, nil
}

// exchange asks and reads the answer. It returns the text about a status that is
// good; an error's text says what is not.
func exchange(conn net.Conn, check Check, address netip.Addr) (string, error) {
	target, err := url.ParseRequestURI("/" + strings.TrimPrefix(check.Path, "/"))
	if err != nil {
		return "", &verdict{"The path of the health check is not valid"}
	}
	req := &http.Request{
		Method: http.MethodGet, URL: target, Host: hostHeader(check, address), ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{"User-Agent": {check.Agent}, "Accept": {"*/*"}},
	}
	// What does not read the whole request may answer it all the same.
	writeErr := req.Write(conn)
	status, err := judge(io.LimitReader(conn, maxHead+searched), req, check.Search)
	if err != nil && writeErr != nil {
		return "", writeErr
	}
	return status, err
}

// hostHeader has the port if it is not the protocol's own.
func hostHeader(check Check, address netip.Addr) string {
	host := check.Host
	if host == "" {
		host = address.String()
		if address.Is6() {
			host = "[" + host + "]"
		}
	}
	if check.Kind == HTTP && check.Port == 80 || check.Kind == HTTPS && check.Port == 443 {
		return host
	}
	return host + ":" + strconv.Itoa(int(check.Port))
}

// judge reads a response.
func judge(r io.Reader, req *http.Request, search string) (string, error) {
	buffered := bufio.NewReader(r)
	var res *http.Response
	for {
		var err error
		if res, err = http.ReadResponse(buffered, req); err != nil {
			return "", err
		}
		if res.StatusCode/100 != 1 || res.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	defer res.Body.Close()
	text := fmt.Sprintf("HTTP Status Code %d", res.StatusCode)
	if t := http.StatusText(res.StatusCode); t != "" {
		text += ", " + t
	}
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return "", &verdict{text}
	}
	if search == "" {
		return text, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, searched))
	if !bytes.Contains(body, []byte(search)) {
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return "", err
		}
		return "", &verdict{text + ". The search string was not found in the first 5120 bytes of the response body"}
	}
	return text, nil
}

// verdict is an error that says all of it itself.
type verdict struct{ text string }

func (v *verdict) Error() string { return v.text }

type tlsError struct{ error }

func (e *tlsError) Unwrap() error { return e.error }

// reason is the text for a look that failed.
func reason(err error) string {
	var (
		own     *verdict
		secure  *tlsError
		network net.Error
		op      *net.OpError
	)
	switch {
	case errors.As(err, &own):
		return own.text
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &network) && network.Timeout():
		return timedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The endpoint refused the connection."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "The connection was closed by the endpoint."
	case errors.As(err, &secure):
		return "The SSL/TLS handshake failed: " + secure.Error()
	case errors.As(err, &op):
		return "The connection failed: " + op.Err.Error()
	}
	return "The endpoint's response is not valid: " + err.Error()
}
