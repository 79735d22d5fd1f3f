package region

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/hostdns"
	"github.com/tarn-eks/tarn/internal/proc"
)

func (s ProcessStatus) with(p proc.Status) ProcessStatus {
	s.PID, s.Started, s.Restarts, s.LastExit = p.PID, p.Started, p.Restarts, p.LastExit
	return s
}

// The control socket is how the commands talk to the region process: HTTP on a
// unix socket that only root may open.

// upRequest asks for Up. An empty File means: as before.
type upRequest struct {
	Name string // of the file, for messages
	File []byte // a ClusterConfig
	// Timeout is how long Up may take.
	Timeout time.Duration
}

// Control serves the control socket.
type Control struct {
	region *Region
	stop   func()
	server *http.Server
	first  atomic.Bool // somebody has asked for Up
}

// NewControl makes the server of a region's control socket. stop is called when
// a client asks the region to stop.
func NewControl(r *Region, stop func()) *Control {
	c := &Control{region: r, stop: stop}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", c.status)
	mux.HandleFunc("GET /dns", c.dns)
	mux.HandleFunc("POST /up", c.up)
	mux.HandleFunc("POST /down", c.down)
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return c
}

// ListenControl opens the control socket. The caller has the region's lock.
func ListenControl(dataDir string) (net.Listener, error) {
	socket := layout(dataDir).controlSocket()
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing an old control socket: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket (its path may have 107 bytes; a shorter --data-dir helps): %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Serve serves l until Close.
func (c *Control) Serve(l net.Listener) error {
	if err := c.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends Serve.
func (c *Control) Close() error { return c.server.Close() }

func (c *Control) status(w http.ResponseWriter, r *http.Request) {
	s, err := c.region.Status(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

// dns says what the host's resolver may be told.
func (c *Control) dns(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c.region.Hosted())
}

func (c *Control) down(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusAccepted)
	c.stop()
}

// up answers with a stream of events, the last of which says how it went.
func (c *Control) up(w http.ResponseWriter, r *http.Request) {
	var request upRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 4<<20)).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var cc *eksctl.ClusterConfig
	if len(request.File) > 0 {
		var err error
		if cc, _, err = eksctl.Load(request.Name, bytes.NewReader(request.File), cluster.Version); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	result := make(chan error, 1)
	// The first to ask sees the region's own start too.
	from := 0
	if !c.first.CompareAndSwap(false, true) {
		from = c.region.progress.count()
	}
	// Up goes on when the client is gone: what was begun is finished.
	go func() {
		late := fmt.Errorf("not done after %s; --timeout gives it longer", request.Timeout)
		ctx, cancel := context.WithTimeoutCause(c.region.background, request.Timeout, late)
		defer cancel()
		err := c.region.Up(ctx, cc)
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = context.Cause(ctx) // what failed says only that its time was up
		}
		result <- err
	}()
	stream(w, c.region.progress, from, result)
}

// stream sends the events from the n-th on, and then the result.
func stream(w http.ResponseWriter, p *progress, sent int, result <-chan error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	flush := func() <-chan struct{} {
		events, changed := p.after(sent)
		sent += len(events)
		for _, e := range events {
			_ = encoder.Encode(e)
		}
		_ = http.NewResponseController(w).Flush()
		return changed
	}
	for {
		changed := flush()
		select {
		case <-changed:
		case err := <-result:
			flush()
			last := Event{State: Finished}
			if err != nil {
				last = Event{State: Failed, Detail: err.Error()}
			}
			_ = encoder.Encode(last)
			return
		}
	}
}

// Client talks to the region process of a state directory.
type Client struct{ http *http.Client }

// ErrNotRunning says that no region process serves a state directory.
var ErrNotRunning = errors.New("no region is running")

// Dial connects to the region of a state directory. It returns ErrNotRunning
// when there is none.
func Dial(dataDir string) (*Client, error) {
	socket := layout(dataDir).controlSocket()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	conn, err := net.Dial("unix", socket)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("only root may talk to the region in %s: run it with sudo", dataDir)
	}
	if err != nil {
		return nil, fmt.Errorf("%w in %s", ErrNotRunning, dataDir)
	}
	_ = conn.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

// Status asks for the region's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	response, err := c.do(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the region's status: %w", err)
	}
	return s, nil
}

// Hosted asks what the host's resolver may be told.
func (c *Client) Hosted(ctx context.Context) (hostdns.State, error) {
	var s hostdns.State
	response, err := c.do(ctx, http.MethodGet, "/dns", nil)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading what the region hosts: %w", err)
	}
	return s, nil
}

// Up asks for Up, which may take as long as timeout, and hands each event to show.
func (c *Client) Up(ctx context.Context, name string, file []byte, timeout time.Duration, show func(Event)) error {
	body, err := json.Marshal(upRequest{Name: name, File: file, Timeout: timeout})
	if err != nil {
		return err
	}
	response, err := c.do(ctx, http.MethodPost, "/up", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	for {
		var e Event
		if err := decoder.Decode(&e); err != nil {
			return fmt.Errorf("the region ended while it was starting: %w", err)
		}
		switch e.State {
		case Finished:
			return nil
		case Failed:
			return errors.New(e.Detail)
		default:
			show(e)
		}
	}
}

// Down asks the region to stop; it goes on stopping after the answer.
func (c *Client) Down(ctx context.Context) error {
	response, err := c.do(ctx, http.MethodPost, "/down", nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://region"+path, body)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("talking to the region: %w", err)
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		return nil, errors.New(string(bytes.TrimSpace(text)))
	}
	return response, nil
}
