package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/http1"
)

// noTarget is the body of an answer to a request that no target is there for.
const noTarget = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n" +
	"<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n"

// An Application Load Balancer's own answers are AWS's pages, to the byte but for the date.
func TestPages(t *testing.T) {
	r := newRig(t)
	b := alb()
	r.apply(b)
	for _, tc := range []struct{ method, body string }{{"GET", noTarget}, {"HEAD", ""}} {
		c := dial(t, r.at("lb", "", 80))
		fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", tc.method)
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		want := "HTTP/1.1 503 Service Temporarily Unavailable\r\nServer: awselb/2.0\r\nDate: now\r\n" +
			"Content-Type: text/html\r\nContent-Length: 162\r\nConnection: close\r\n\r\n" + tc.body
		is := regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`).ReplaceAllString(string(got), "now")
		if is != want {
			t.Errorf("%s:\ngot  %q\nwant %q", tc.method, is, want)
		}
	}
}

// Without a healthy target, requests and connections go to all, if the balancer is an Application Load
// Balancer, and with one only there.
func TestFailOpen(t *testing.T) {
	for _, application := range []bool{true, false} {
		t.Run(fmt.Sprintf("application %v", application), func(t *testing.T) {
			r := newRig(t)
			for _, a := range []string{"10.0.0.1:1", "10.0.0.2:1"} {
				r.backend(a, nil)
			}
			b := alb("10.0.0.1:1", "10.0.0.2:1")
			b.Application = application
			h := traffic(TCP)
			h.Port = 9 // nothing is there yet
			b.Groups["a"] = Group{HealthCheck: h}
			b.Groups["empty"] = Group{HealthCheck: h}
			b.Listeners = append(b.Listeners,
				Listener{Port: 81, Protocol: TCP, Group: "a", BackendProtocol: TCP},
				Listener{Port: 82, Protocol: HTTP, Group: "empty", BackendProtocol: HTTP})
			r.apply(b)
			regardless := map[string]int{"10.0.0.1:1": 2, "10.0.0.2:1": 2}
			want := map[int]map[string]int{80: regardless, 81: regardless, 82: {noTarget: 4}}
			if !application {
				want = map[int]map[string]int{80: {"": 4}, 82: {"": 4}}
			}
			see := func(when string) {
				t.Helper()
				for port, want := range want {
					if diff := cmp.Diff(want, r.spread(r.at("lb", "", port), 4)); diff != "" {
						t.Errorf("%s, port %d (-want +got):\n%s", when, port, diff)
					}
				}
			}
			see("while they register")
			r.until("they fail", func() bool {
				return r.health("i-1", "a", 1).Description == failing && r.health("i-2", "a", 1).Description == failing
			})
			see("when they have failed")
			if s, _ := r.GroupStats("lb", "a"); s.HealthyHostCount[""] != 0 || s.UnHealthyHostCount[""] != 2 {
				t.Errorf("hosts %v and %v", s.HealthyHostCount, s.UnHealthyHostCount)
			}
			r.tcp("10.0.0.2:9", func(*net.TCPConn) {})
			r.healthy("lb", 1)
			only := map[string]int{"10.0.0.2:1": 4}
			want = map[int]map[string]int{80: only, 81: only}
			see("with one that is healthy")
		})
	}
}

// Where no zone has a healthy target, the host's clients go where there is one at all.
func TestFailOpenZones(t *testing.T) {
	r := newRig(t)
	r.backend("10.0.0.1:1", nil)
	b := alb("10.0.0.1:1")
	h := traffic(TCP)
	h.Port = 9
	b.Groups["a"] = Group{HealthCheck: h}
	b.Zones, b.CrossZone, b.Backends[0].Zone = []string{"x", "y", "z"}, false, "y"
	r.apply(b)
	for zone, want := range map[string]map[string]int{"": {"10.0.0.1:1": 6}, "y": {"10.0.0.1:1": 6}, "z": {noTarget: 6}} {
		if diff := cmp.Diff(want, r.spread(r.at("lb", zone, 80), 6)); diff != "" {
			t.Errorf("zone %q (-want +got):\n%s", zone, diff)
		}
	}
}

// What is under way at a target goes on when that becomes unhealthy.
func TestUnhealthyTargetKeepsConnections(t *testing.T) {
	r := newRig(t)
	l := r.echo("10.0.0.1:1")
	b := alb("10.0.0.1:1")
	b.Listeners = []Listener{{Port: 80, Protocol: TCP, Group: "a", BackendProtocol: TCP}}
	r.apply(b)
	r.healthy("lb", 1)
	c := dial(t, r.at("lb", "", 80))
	line(t, c)
	r.serve("10.0.0.1:1", "")
	r.healthy("lb", 0)
	fmt.Fprint(c, "still\n")
	if got := line(t, c); got != "still" {
		t.Errorf("%q", got)
	}
	r.serve("10.0.0.1:1", l.Addr().String())
	r.healthy("lb", 1)
	// Leaving is another matter: this group gives no time for it.
	b.Backends = nil
	r.apply(b)
	ended(t, c)
}

// Connections of a deregistered target last as long as its group says.
func TestGroupDrains(t *testing.T) {
	r := newRig(t)
	b := alb("10.0.0.1:1")
	b.Backends = append(b.Backends, in("b", "i-1", "10.0.0.1:2"))
	b.Groups = map[string]Group{"a": {HealthCheck: traffic(TCP), Drain: time.Hour}, "b": {HealthCheck: traffic(TCP), Drain: 50 * time.Millisecond}}
	b.Listeners = nil
	conns := map[string]net.Conn{}
	for i, group := range []string{"a", "b"} {
		r.echo(fmt.Sprintf("10.0.0.1:%d", i+1))
		b.Listeners = append(b.Listeners, Listener{Port: 80 + i, Protocol: TCP, Group: group, BackendProtocol: TCP})
	}
	r.apply(b)
	r.healthy("lb", 2)
	for i, group := range []string{"a", "b"} {
		c := dial(t, r.at("lb", "", 80+i))
		line(t, c)
		conns[group] = c
	}
	b.Backends = nil
	r.apply(b)
	ended(t, conns["b"])
	r.until("one is gone", func() bool { return len(r.Health("lb")) == 1 })
	if h := r.health("i-1", "a", 1); !h.Draining {
		t.Errorf("%+v", h)
	}
	fmt.Fprint(conns["a"], "still\n")
	if got := line(t, conns["a"]); got != "still" {
		t.Errorf("%q", got)
	}
	conns["a"].Close()
	r.until("both are gone", func() bool { return len(r.Health("lb")) == 0 })
}

// TestApplicationStatuses has what an Application Load Balancer answers where a Classic one does otherwise:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
func TestApplicationStatuses(t *testing.T) {
	r := newRig(t)
	hung := make(chan struct{})
	s := r.backend("10.0.0.1:1", http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/close":
			panic(http.ErrAbortHandler)
		case "/slow":
			<-hung
		}
	}))
	t.Cleanup(func() { close(hung) }) // before the server's end, which waits for it
	b := alb("10.0.0.1:1", "10.0.0.2:1")
	b.IdleTimeout = 300 * time.Millisecond
	b.Groups["dead"] = Group{HealthCheck: traffic(TCP)}
	b.Groups["empty"] = b.Groups["dead"]
	b.Backends[1].Group = "dead"
	for i, group := range []string{"dead", "empty"} {
		b.Listeners = append(b.Listeners, Listener{Port: 81 + i, Protocol: HTTP, Group: group, BackendProtocol: HTTP})
	}
	// Its listeners' connections follow when a balancer becomes another kind.
	classic := b
	classic.Application = false
	r.apply(classic)
	r.healthy("lb", 1)
	ask := func(port int, path string, want int) {
		t.Helper()
		if status, _ := send(t, r.at("lb", "", port), "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"); status != want {
			t.Errorf("port %d, %s: status %d, want %d", port, path, status, want)
		}
	}
	ask(80, "/close", 504)
	ask(81, "/", 503)
	r.apply(b)
	ask(80, "/", 200)
	ask(80, "/close", 502)
	ask(80, "/slow", 504)
	ask(81, "/", 502) // it is unhealthy, and refuses
	if s, _ := r.GroupStats("lb", "dead"); s.BackendConnectionErrs != 1 || s.RequestCount != 0 {
		t.Errorf("of the one that refuses: %+v", s)
	}
	ask(82, "/", 503)
	// All have left while the request was on its way to one of them.
	x := http1.Exchange{Request: &http1.Request{}, Context: t.Context(), Cause: http1.ErrBackendConnect, Tried: []*http1.Pool{http1.NewPool(http1.PoolConfig{})}}
	if _, status := r.get("lb").service(82).node("").Choose(&x); status != 503 {
		t.Errorf("status %d when all have left, want 503", status)
	}
	// A connection that was kept has died, and there is no other.
	ask(80, "/", 200)
	s.CloseClientConnections()
	r.serve("10.0.0.1:1", "")
	if status, _ := send(t, r.at("lb", "", 80), plainGet); status != 502 {
		t.Errorf("status %d of a backend that died, want 502", status)
	}
}

func TestTrace(t *testing.T) {
	const id = `1-[0-9a-f]{8}-[0-9a-f]{24}`
	for _, tc := range []struct {
		name, fields, want string
	}{
		{"none", "", `Root=` + id},
		{"empty", "X-Amzn-Trace-Id:\r\n", `Root=` + id},
		{"a root", "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n", `Self=` + id + `;Root=1-67891233-abcdef012345678912345678`},
		{"more", "x-amzn-trace-id: Root=1-67891233-abcdef012345678912345678;CalledFrom=app\r\n", `Self=` + id + `;Root=1-67891233-abcdef012345678912345678;CalledFrom=app`},
		{"another self", "X-Amzn-Trace-Id: Self=1-67891233-12456789abcdef012345678; Root=1-67891233-abcdef012345678912345678;A=b\r\n", `Self=` + id + `;Root=1-67891233-abcdef012345678912345678;A=b`},
		{"no root", "X-Amzn-Trace-Id: CalledFrom=app\r\n", `Root=` + id + `;CalledFrom=app`},
		{"a self alone", "X-Amzn-Trace-Id: Self=1-67891233-12456789abcdef012345678\r\n", `Root=` + id},
		{"two", "X-Amzn-Trace-Id: Root=1-1-1\r\nX-Amzn-Trace-Id: Root=2-2-2\r\n", `Self=` + id + `;Root=1-1-1`},
		{"a long head", "X-Amzn-Trace-Id: Root=1-1-1\r\nCookie: " + strings.Repeat("x", 7<<10) + "\r\n", `Root=` + id},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head := []byte("GET / HTTP/1.1\r\nHost: a\r\n" + tc.fields + "\r\n")
			var req http1.Request
			if used, err := http1.ParseRequest(head, &req, http1.Limits{}); used != len(head) || err != nil {
				t.Fatalf("%d, %v", used, err)
			}
			r := newRig(t)
			got := make(chan []string, 1)
			r.backend("10.0.0.1:1", http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { got <- q.Header["X-Amzn-Trace-Id"] }))
			r.apply(alb("10.0.0.1:1"))
			r.healthy("lb", 1)
			send(t, r.at("lb", "", 80), string(head))
			if got := <-got; len(got) != 1 || !regexp.MustCompile(`^`+tc.want+`$`).MatchString(got[0]) {
				t.Errorf("got %q, want %s", got, tc.want)
			}
		})
	}
	now := time.Unix(0x67891233, 0)
	one, other := appendTrace(nil, now), appendTrace(nil, now)
	if !bytes.HasPrefix(one, []byte("1-67891233-")) || bytes.Equal(one, other) {
		t.Errorf("%s and %s", one, other)
	}
}

// A Classic Load Balancer passes on what it gets.
func TestClassicHasNoTrace(t *testing.T) {
	r := newRig(t)
	got := make(chan []string, 1)
	r.backend("10.0.0.1:8080", http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { got <- q.Header["X-Amzn-Trace-Id"] }))
	r.apply(web("10.0.0.1"))
	r.healthy("lb", 1)
	for sent, want := range map[string][]string{"": nil, "X-Amzn-Trace-Id: Root=1\r\n": {"Root=1"}} {
		send(t, r.at("lb", "", 80), "GET / HTTP/1.1\r\nHost: a\r\n"+sent+"\r\n")
		if diff := cmp.Diff(want, <-got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", sent, diff)
		}
	}
}

func TestTraceAllocatesNothing(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n\r\n")
	var req http1.Request
	x := http1.Exchange{Request: &req, Received: time.Now()}
	once := func() {
		if _, err := http1.ParseRequest(head, &req, http1.Limits{}); err != nil {
			t.Fatal(err)
		}
		trace(&x, &req.Header)
	}
	once()
	if allocs := testing.AllocsPerRun(1000, once); allocs > 0 {
		t.Errorf("%v allocations per request", allocs)
	}
}

// A target group keeps its clients by cookies of other names, also while none of its targets is healthy,
// and tells the ports of an instance apart.
func TestApplicationCookies(t *testing.T) {
	r := newRig(t)
	var all []string
	for i := range 3 {
		a := fmt.Sprintf("10.0.0.1:%d", i+1)
		r.backend(a, nil)
		all = append(all, a)
	}
	b := alb(all...)
	for i := range b.Backends {
		b.Backends[i].ID = "i-1"
	}
	b.Listeners[0].Sticky = &Sticky{}
	r.apply(b)
	r.healthy("lb", 3)
	ask := func(cookies string) (set []string, body string) {
		t.Helper()
		c := dial(t, r.at("lb", "", 80))
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cookies)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.Header["Set-Cookie"], string(text)
	}
	stick := func() {
		t.Helper()
		for i, a := range all {
			value := cookieOf("lb", b.Backends[i].key())
			for _, name := range []string{"AWSALB", "AWSALBCORS"} {
				for range 2 {
					if set, body := ask("Cookie: " + name + "=" + value + "\r\n"); body != a || len(set) > 0 {
						t.Errorf("%s led to %s with %q, want %s and nothing", name, body, set, a)
					}
				}
			}
			set, _ := ask("Cookie: AWSELB=" + value + "\r\n")
			if len(set) != 2 || !regexp.MustCompile(`^AWSALB=[0-9a-f]{64};PATH=/$`).MatchString(set[0]) || !strings.HasPrefix(set[1], "AWSALBCORS=") {
				t.Errorf("cookies %q", set)
			}
		}
	}
	stick()
	b.Groups = map[string]Group{"a": {HealthCheck: HealthCheck{Protocol: TCP, Port: 9, Interval: 50 * time.Millisecond, Timeout: time.Second, Unhealthy: 1}}}
	r.apply(b)
	r.healthy("lb", 0)
	stick()
}

func TestCookieOfBackends(t *testing.T) {
	seen := map[string]Backend{}
	for _, k := range []Backend{{ID: "i-1"}, {ID: "i-1", Port: 1}, {ID: "i-1", Group: "a"}, {ID: "i-1", Group: "a", Port: 1}, {ID: "i-1", Group: "b", Port: 1}, {ID: "i-2", Group: "a", Port: 1}} {
		if other, ok := seen[k.key()]; ok {
			t.Errorf("%+v and %+v are the same", k, other)
		}
		seen[k.key()] = k
	}
	// Clients have cookies of before there were groups.
	k := Backend{ID: "i-1", Zone: "a"}
	if got, want := cookieOf("lb", k.key()), "8955e6b5"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
