package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The files testdata/*.txt have cases. A line "== name" begins one; "#" begins a
// comment. Bytes are written as in a Go string, and what one line begins, those
// that begin with a space go on with.
type step struct {
	line int
	op   string
	arg  string // unquoted
}

type script struct {
	name  string
	steps []step
}

func scripts(t testing.TB, file string) (all []script) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var raw [][]string // per script: the steps' arguments, still quoted
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case strings.HasPrefix(line, "== "):
			all = append(all, script{name: line[3:]})
			raw = append(raw, nil)
		case line[0] == ' ':
			last := raw[len(raw)-1]
			last[len(last)-1] += strings.TrimLeft(line, " ")
		default:
			op, arg, _ := strings.Cut(line, " ")
			s := &all[len(all)-1]
			s.steps = append(s.steps, step{i + 1, op, ""})
			raw[len(raw)-1] = append(raw[len(raw)-1], arg)
		}
	}
	for i := range all {
		for j := range all[i].steps {
			all[i].steps[j].arg = unquote(t, all[i].steps[j].line, raw[i][j])
		}
	}
	return all
}

// unquote also knows {8192*x}, which is that many of it.
func unquote(t testing.TB, line int, s string) string {
	t.Helper()
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "{*")
		v, err := strconv.Unquote(`"` + strings.ReplaceAll(before, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("line %d: %v: %s", line, err, s)
		}
		b.WriteString(v)
		if !ok {
			return b.String()
		}
		of, after, _ := strings.Cut(rest, "}")
		count, what, _ := strings.Cut(of, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		what, err = strconv.Unquote(`"` + what + `"`)
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		b.WriteString(strings.Repeat(what, n))
		s = after
	}
}

// play is a server between a client and backends that do what a script says.
type play struct {
	t                 *testing.T
	server            *Server
	pool              *Pool
	dialed            chan net.Conn // the backend's side of new connections
	pair, backendPair func() (ours, theirs net.Conn)

	client  net.Conn
	over    chan struct{} // ServeConn has returned
	backend net.Conn

	mu      sync.Mutex // guards all below
	done    []string
	refuse  int // connections to refuse
	choices int
	set     []string // fields for the backend, for the client
}

func (p *play) Choose(x *Exchange) (*Pool, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choices++
	if len(x.Tried) > 1 || strings.HasPrefix(string(x.Request.Path), "/nobody") {
		return nil, 503
	}
	return p.pool, 0
}

func (p *play) ForRequest(_ *Exchange, h *Header) {
	if len(p.set) > 0 {
		h.Join("X-Forwarded-For", []byte("10.0.0.1"))
		h.Set("X-Forwarded-Proto", []byte("https"))
		h.Del("X-Secret")
	}
}

func (p *play) ForResponse(_ *Exchange, h *Header) {
	if len(p.set) > 0 {
		h.Add("Set-Cookie", []byte("AWSELB=1"))
	}
}

func (p *play) Done(x *Exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := fmt.Sprintf("%s %s %d/%d %d/%d", x.Request.Method, x.Request.Path, x.StatusELB, x.StatusBackend, x.RequestBytes, x.ResponseBytes)
	for _, t := range []time.Duration{x.RequestProcessing, x.BackendProcessing, x.ResponseProcessing} {
		if t < 0 && t != -time.Second {
			p.t.Errorf("a time is %v", t)
		}
	}
	if x.Cause != nil {
		d += ": " + x.Cause.Error()
	}
	p.done = append(p.done, strings.TrimSpace(d))
}

func newPlay(t *testing.T, pair func() (net.Conn, net.Conn)) *play {
	p := &play{t: t, pair: pair, backendPair: pair, dialed: make(chan net.Conn, 10)}
	p.pool = NewPool(PoolConfig{Dial: func(context.Context) (net.Conn, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.refuse > 0 {
			p.refuse--
			return nil, errors.New("connection refused")
		}
		ours, theirs := p.backendPair()
		p.dialed <- theirs
		return ours, nil
	}})
	p.server = &Server{Director: p}
	return p
}

func (p *play) connect() {
	ours, theirs := p.pair()
	p.client = theirs
	over := make(chan struct{})
	p.over = over
	go func() {
		defer close(over)
		p.server.ServeConn(context.Background(), ours)
	}()
}

func (p *play) run(s script) {
	t := p.t
	t.Helper()
	defer p.stop()
	for _, st := range s.steps {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("line %d: %s", st.line, fmt.Sprintf(format, args...))
		}
		side := func() net.Conn {
			if st.op[0] == 'c' {
				if p.client == nil { // settings come before
					p.connect()
				}
				return p.client
			}
			if p.backend == nil {
				select {
				case p.backend = <-p.dialed:
				case <-time.After(5 * time.Second):
					fail("no connection to the backend")
				}
			}
			return p.backend
		}
		switch st.op {
		case "c>", "b>":
			if _, err := side().Write([]byte(st.arg)); err != nil {
				fail("%v", err)
			}
		case "c<", "b<":
			got := make([]byte, len(st.arg))
			side().SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := io.ReadFull(side(), got)
			if got = got[:n]; string(got) != st.arg {
				more := make([]byte, 1000)
				side().SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				m, _ := side().Read(more)
				fail("got  %q + %q, %v\nwant %q", got, more[:m], err, st.arg)
			}
		case "c-end", "b-end": // it sees the end of the connection
			side().SetReadDeadline(time.Now().Add(5 * time.Second))
			if b, err := io.ReadAll(side()); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) || st.arg == "clean" && err != nil {
				fail("got %q, %v", b, err)
			}
			if st.op[0] == 'b' {
				p.backend.Close()
				p.backend = nil
			}
		case "c-close", "b-close":
			side().Close()
			if st.op[0] == 'b' {
				p.backend = nil
			}
		case "c-shut", "b-shut":
			side().(interface{ CloseWrite() error }).CloseWrite()
		case "c-new":
			p.client.Close()
			<-p.over
			p.connect()
		case "wait":
			d, err := time.ParseDuration(st.arg)
			if err != nil {
				fail("%v", err)
			}
			time.Sleep(d)
		case "sync":
			synctest.Wait()
		case "refuse":
			p.mu.Lock()
			p.refuse, _ = strconv.Atoi(st.arg)
			p.mu.Unlock()
		case "in-memory": // it knows the addresses
		case "fields":
			p.set = []string{"x"}
		case "keep-none":
			p.pool.MaxIdle = -1
		case "idle":
			p.server.IdleTimeout, _ = time.ParseDuration(st.arg)
		case "close":
			p.server.Close()
		case "closed-status":
			p.server.ClosedStatus, _ = strconv.Atoi(st.arg)
		case "header-timeout":
			p.server.RequestHeaderTimeout, _ = time.ParseDuration(st.arg)
		case "shutdown":
			p.server.draining.Store(true)
			go p.server.Shutdown(context.Background())
		case "done":
			for range 500 {
				p.mu.Lock()
				ok := len(p.done) > 0
				p.mu.Unlock()
				if ok {
					break
				}
				time.Sleep(time.Millisecond)
			}
			p.mu.Lock()
			if len(p.done) == 0 || p.done[0] != st.arg {
				got := fmt.Sprintf("%q", p.done)
				p.mu.Unlock()
				fail("got  %s\nwant %q", got, st.arg)
			}
			p.done = p.done[1:]
			p.mu.Unlock()
		default:
			fail("unknown step")
		}
	}
}

// stop ends all, and checks that all ends.
func (p *play) stop() {
	p.client.Close()
	if p.backend != nil {
		p.backend.Close()
	}
	p.pool.Close()
	p.server.Close()
	<-p.over
	if idle, active := p.pool.Stats(); idle != 0 || active != 0 {
		p.t.Errorf("%d connections are idle, %d in use, at the end", idle, active)
	}
}

// TestExchanges plays the scripts in memory, where time passes at once.
func TestExchanges(t *testing.T) {
	for _, s := range scripts(t, "testdata/exchanges.txt") {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				newPlay(t, memPair).run(s)
			})
		})
	}
}

// wires are the kinds of connections that scripts are played over.
var wires = []struct {
	name            string
	client, backend bool // with TLS
}{{"TCP", false, false}, {"TLS", true, false}, {"TLS to TLS", true, true}}

// TestExchangesTCP plays those that need no time over TCP connections, which are
// read in another way.
func TestExchangesTCP(t *testing.T) {
	playTCP(t, "testdata/exchanges.txt", func(s script) bool {
		return !slices.ContainsFunc(s.steps, func(st step) bool {
			return st.op == "wait" || st.op == "sync" || st.op == "in-memory"
		})
	}, time.Second)
}

func TestTimesTCP(t *testing.T) {
	playTCP(t, "testdata/times.txt", func(script) bool { return true }, 200*time.Millisecond)
}

func playTCP(t *testing.T, file string, wanted func(script) bool, patience time.Duration) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var accepting sync.Mutex
	pair := func() (net.Conn, net.Conn) {
		accepting.Lock()
		defer accepting.Unlock()
		return tcpPair(t, l)
	}
	server := &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}, DynamicRecordSizingDisabled: true}
	client := &tls.Config{InsecureSkipVerify: true}
	for _, w := range wires {
		for _, s := range scripts(t, file) {
			if !wanted(s) {
				continue
			}
			t.Run(w.name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				p := newPlay(t, pair)
				p.server.patience, p.server.grace = patience, patience
				if w.client {
					p.pair = func() (net.Conn, net.Conn) {
						a, b := pair()
						return TLSServer(a, server), tls.Client(b, client)
					}
				}
				if w.backend {
					p.backendPair = func() (net.Conn, net.Conn) {
						a, b := pair()
						return tls.Client(a, client), tls.Server(b, server)
					}
				}
				p.run(s)
			})
		}
	}
}

func tcpPair(t testing.TB, l net.Listener) (a, b net.Conn) {
	t.Helper()
	ch := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		ch <- c
	}()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return a, <-ch
}
