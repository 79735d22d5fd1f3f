package main

import (
	"encoding/json"
	"fmt"
	"log"
	"mime"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// app answers the requests.
type app struct {
	http.ServeMux
	cfg     config
	started time.Time
}

func newApp(cfg config, started time.Time) *app {
	a := &app{cfg: cfg, started: started}
	a.HandleFunc("GET /{$}", a.index)
	a.HandleFunc("GET /health", a.health)
	a.HandleFunc("GET /burn", a.burn)
	a.HandleFunc("GET /hold", a.hold)
	a.HandleFunc("GET /slow", a.slow)
	return a
}

// answer is what every request gets. Text says no more than JSON does.
type answer struct {
	Message string `json:"message"`
	Pod     string `json:"pod"`
	Node    string `json:"node"`
	Version string `json:"version"`
}

func (a *app) reply(w http.ResponseWriter, r *http.Request, status int, message string) {
	ans := answer{message, a.cfg.pod, a.cfg.node, version}
	if acceptsJSON(r.Header.Values("Accept")) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(ans) // a client that left gets nothing
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s\npod:     %s\nnode:    %s\nversion: %s\n", ans.Message, ans.Pod, ans.Node, ans.Version)
}

func acceptsJSON(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		mediaType, params, err := mime.ParseMediaType(part)
		if err == nil && mediaType == "application/json" && params["q"] != "0" {
			return true
		}
	}
	return false
}

func (a *app) index(w http.ResponseWriter, r *http.Request) {
	a.reply(w, r, http.StatusOK, "backend-app")
}

func (a *app) health(w http.ResponseWriter, r *http.Request) {
	if left := a.cfg.startupDelay - time.Since(a.started); left > 0 {
		a.reply(w, r, http.StatusServiceUnavailable, fmt.Sprintf("starting, ready in %s", left.Round(time.Millisecond)))
		return
	}
	a.reply(w, r, http.StatusOK, "ok")
}

func (a *app) burn(w http.ResponseWriter, r *http.Request) {
	ms, err := number(r, "ms", 60_000)
	if err != nil {
		a.reply(w, r, http.StatusBadRequest, err.Error())
		return
	}
	begin := time.Now()
	end := begin.Add(time.Duration(ms) * time.Millisecond)
	rounds, x := 0, uint64(1)
	for time.Now().Before(end) && r.Context().Err() == nil {
		for range 100_000 {
			x = x*6364136223846793005 + 1442695040888963407
		}
		rounds++
	}
	a.reply(w, r, http.StatusOK, fmt.Sprintf("burned %s in %d rounds (%x)", time.Since(begin).Round(time.Millisecond), rounds, x))
}

func (a *app) hold(w http.ResponseWriter, r *http.Request) {
	mib, err := number(r, "mib", 4096)
	if err == nil {
		var s int
		if s, err = number(r, "s", 600); err == nil {
			a.holdFor(w, r, mib, time.Duration(s)*time.Second)
			return
		}
	}
	a.reply(w, r, http.StatusBadRequest, err.Error())
}

func (a *app) holdFor(w http.ResponseWriter, r *http.Request, mib int, d time.Duration) {
	block := make([]byte, mib<<20)
	// Memory counts once it is written to.
	for i := 0; i < len(block); i += os.Getpagesize() {
		block[i] = 1
	}
	stayed := wait(r, d)
	runtime.KeepAlive(block)
	debug.FreeOSMemory() // or the pod would seem to hold it for minutes
	if stayed {
		a.reply(w, r, http.StatusOK, fmt.Sprintf("held %d MiB for %s", mib, d))
	}
}

func (a *app) slow(w http.ResponseWriter, r *http.Request) {
	ms, err := number(r, "ms", 120_000)
	if err != nil {
		a.reply(w, r, http.StatusBadRequest, err.Error())
		return
	}
	d := time.Duration(ms) * time.Millisecond
	if wait(r, d) {
		a.reply(w, r, http.StatusOK, fmt.Sprintf("answered after %s", d))
	}
}

// wait reports whether d passed before the client left.
func wait(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// number is the query parameter name: a whole number from 1 to limit.
func number(r *http.Request, name string, limit int) (int, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return 0, fmt.Errorf("%s is missing: give %s=N with N from 1 to %d", name, name, limit)
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > limit {
		return 0, fmt.Errorf("%s=%q is not a whole number from 1 to %d", name, s, limit)
	}
	return n, nil
}

// logged writes one line for each request once it is answered.
func logged(logger *log.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			logger.Printf("%s %s %q %d %s", r.RemoteAddr, r.Method, r.URL.RequestURI(), rec.status, time.Since(begin).Round(time.Microsecond))
		}()
		next.ServeHTTP(rec, r)
	})
}

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}
