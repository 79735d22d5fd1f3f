// Command backend-app is the demo application: a small HTTP server with knobs
// for what one wants to see in a cluster. It says which pod answered, becomes
// ready late, burns CPU, holds memory, answers slowly, and finishes what is in
// flight when it is told to stop.
//
//	GET /               which pod and node answered, and the version
//	GET /health         200 once start-up has finished, 503 before
//	GET /burn?ms=N      keeps one CPU busy for N milliseconds (at most 60000)
//	GET /hold?mib=N&s=N holds N MiB (at most 4096) for N seconds (at most 600)
//	GET /slow?ms=N      answers after N milliseconds (at most 120000)
//
// Answers are text, or JSON for a client that accepts application/json.
//
// Environment: PORT (80), STARTUP_DELAY (0s) until /health says 200,
// SHUTDOWN_TIMEOUT (30s) for requests in flight after SIGTERM; POD_NAME and
// NODE_NAME, from the downward API, name the pod and its node.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// version is set at link time.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "backend-app:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends and the requests in flight are done.
func run(ctx context.Context, getenv func(string) string, stdout io.Writer) error {
	cfg, err := configFrom(getenv)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(cfg.port)))
	if err != nil {
		return fmt.Errorf("listening on PORT: %w", err)
	}
	return serve(ctx, ln, cfg, stdout)
}

func serve(ctx context.Context, ln net.Listener, cfg config, stdout io.Writer) error {
	logger := log.New(stdout, "", log.LstdFlags|log.LUTC)
	app := newApp(cfg, time.Now())
	server := &http.Server{Handler: logged(logger, app), ReadHeaderTimeout: 10 * time.Second, ErrorLog: logger}

	logger.Printf("backend-app %s listening on %s, ready in %s", version, ln.Addr(), cfg.startupDelay)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	logger.Printf("stopping: finishing requests in flight, at most %s", cfg.shutdownTimeout)
	deadline, cancel := context.WithTimeout(context.Background(), cfg.shutdownTimeout)
	defer cancel()
	err := server.Shutdown(deadline)
	if err != nil {
		// Closing ends the contexts of the requests that are left.
		err = fmt.Errorf("requests were cut off after SHUTDOWN_TIMEOUT=%s: %w", cfg.shutdownTimeout, errors.Join(err, server.Close()))
	}
	<-served
	logger.Print("stopped")
	return err
}

// config is the environment, checked.
type config struct {
	port            int
	startupDelay    time.Duration
	shutdownTimeout time.Duration
	pod, node       string
}

func configFrom(getenv func(string) string) (config, error) {
	cfg := config{port: 80, shutdownTimeout: 30 * time.Second, pod: getenv("POD_NAME"), node: getenv("NODE_NAME")}
	if s := getenv("PORT"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 65535 {
			return cfg, fmt.Errorf("PORT=%q is not a port from 1 to 65535", s)
		}
		cfg.port = n
	}
	for _, d := range []struct {
		name string
		to   *time.Duration
	}{{"STARTUP_DELAY", &cfg.startupDelay}, {"SHUTDOWN_TIMEOUT", &cfg.shutdownTimeout}} {
		s := getenv(d.name)
		if s == "" {
			continue
		}
		v, err := time.ParseDuration(s)
		if err != nil || v < 0 {
			return cfg, fmt.Errorf("%s=%q is not a duration such as 10s or 1m30s", d.name, s)
		}
		*d.to = v
	}
	if cfg.pod == "" {
		// A pod's host name is its name.
		cfg.pod, _ = os.Hostname()
	}
	if cfg.node == "" {
		cfg.node = "unknown (set NODE_NAME from spec.nodeName)"
	}
	return cfg, nil
}
