package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"time"
)

// idlers is how many idle connections a contender holds.
const idlers = 5000

// load is a kind of requests that the contenders forward.
type load struct {
	what string
	send func(ctx context.Context, address string, during time.Duration) (outcome, error)
	size int // of bodies in bytes, when that is what counts
}

var loads = []load{
	{what: "small responses, connections kept", send: func(ctx context.Context, address string, during time.Duration) (outcome, error) {
		return wrk(ctx, address, "/small", during, false)
	}},
	{what: "a connection per request, TLS resumed", send: func(ctx context.Context, address string, during time.Duration) (outcome, error) {
		return wrk(ctx, address, "/small", during, true)
	}},
	{what: "a connection per request, TLS anew", send: handshakes},
	{what: "bodies of 1 MB, connections kept", size: large, send: func(ctx context.Context, address string, during time.Duration) (outcome, error) {
		return wrk(ctx, address, "/large", during, false)
	}},
}

// balancing measures Tarn's load balancer, HAProxy and nginx with the same load.
// They take turns, so that what else the machine does meets all of them.
func balancing(ctx context.Context, dir string, runs int, during time.Duration) (_ []comparison, err error) {
	during = max(during.Round(time.Second), time.Second) // wrk counts in seconds
	r, err := newRing(ctx, dir, idlers)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for _, c := range r.contenders {
		if err := r.start(ctx, c); err != nil {
			return nil, err
		}
	}
	var all []comparison
	for _, l := range loads {
		more, err := r.loaded(ctx, l, runs, during)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.what, err)
		}
		all = append(all, more...)
	}
	for _, c := range r.contenders {
		c.stop()
	}
	more, err := r.idle(ctx, runs)
	if err != nil {
		return nil, fmt.Errorf("%d idle connections: %w", r.held, err)
	}
	return append(all, more...), nil
}

// comparison returns one without values yet.
func (r *ring) comparison(what, unit string) comparison {
	c := comparison{what: what, unit: unit}
	for _, who := range r.contenders {
		c.who = append(c.who, who.name)
	}
	c.values = make([][]float64, len(c.who))
	return c
}

// loaded measures the contenders under a load.
func (r *ring) loaded(ctx context.Context, l load, runs int, during time.Duration) ([]comparison, error) {
	rate := r.comparison(l.what, "requests/s")
	if l.size > 0 {
		rate.unit = "MB/s"
	}
	p50, p99 := r.comparison("… p50", "ms"), r.comparison("… p99", "ms")
	cpu := r.comparison("… CPU time of 10,000 requests", "s")
	failed := r.comparison("… errors, in all runs", "")
	failed.sum = true
	for _, c := range r.contenders {
		if _, err := l.send(ctx, c.address, time.Second); err != nil { // to warm up
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for range runs {
		for n, c := range r.contenders {
			before, err := c.cpu()
			if err != nil {
				return nil, err
			}
			o, err := l.send(ctx, c.address, during)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			after, err := c.cpu()
			if err := errors.Join(err, c.running(), r.origin.running()); err != nil {
				return nil, err
			}
			if o.Requests == 0 {
				return nil, fmt.Errorf("%s answered no request, and there were %d errors", c.name, o.Errors)
			}
			perSecond := float64(o.Requests) / o.Seconds
			if l.size > 0 {
				perSecond *= float64(l.size) / 1e6
			}
			rate.add(n, perSecond)
			p50.add(n, o.P50)
			p99.add(n, o.P99)
			cpu.add(n, (after-before)/float64(o.Requests)*10_000)
			failed.add(n, float64(o.Errors))
		}
	}
	return []comparison{rate, p50, p99, cpu, failed}, nil
}

// handshakes sends requests with [handshakesRole], which has one thread for Go
// code, as wrk has one.
func handshakes(ctx context.Context, address string, during time.Duration) (o outcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(ctx, during+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "handshakes", "-address", address, "-for", during.String())
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return o, fmt.Errorf("the client: %w", err)
	}
	return o, json.Unmarshal(out, &o)
}

// idle measures what idle connections take. Each contender is new, for what it
// kept of earlier loads would be used again.
func (r *ring) idle(ctx context.Context, runs int) ([]comparison, error) {
	rest := r.comparison("resident, before idle connections", "MB")
	full := r.comparison(fmt.Sprintf("… with %d idle TLS connections", r.held), "MB")
	rss := r.comparison("… for each connection, resident", "KiB")
	pss := r.comparison("… for each connection, shared pages counted once", "KiB")
	private := r.comparison("… for each connection, private", "KiB")
	for range runs {
		for n, c := range r.contenders {
			before, after, err := r.hold(ctx, c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			each := func(before, after float64) float64 { return (after - before) * 1e6 / 1024 / float64(r.held) }
			rest.add(n, before.rss)
			full.add(n, after.rss)
			rss.add(n, each(before.rss, after.rss))
			pss.add(n, each(before.pss, after.pss))
			private.add(n, each(before.private, after.private))
		}
	}
	return []comparison{rest, full, rss, pss, private}, nil
}

// hold is a contender's memory before and while connections are held.
func (r *ring) hold(ctx context.Context, c *contender) (before, after memory, err error) {
	if err := r.start(ctx, c); err != nil {
		return before, after, err
	}
	defer c.stop()
	if _, err := wrk(ctx, c.address, "/small", time.Second, false); err != nil { // to warm up
		return before, after, err
	}
	if before, err = settled(ctx, c.child); err != nil {
		return before, after, err
	}
	self, err := os.Executable()
	if err != nil {
		return before, after, err
	}
	cmd := exec.Command(self, "hold", "-address", c.address, "-n", fmt.Sprint(r.held))
	in, err := cmd.StdinPipe()
	if err != nil {
		return before, after, err
	}
	out, itsOut, err := os.Pipe()
	if err != nil {
		return before, after, err
	}
	defer out.Close()
	cmd.Stdout = itsOut
	client, err := launch("the client", cmd)
	itsOut.Close()
	if err != nil {
		return before, after, err
	}
	defer client.stop()
	defer in.Close()
	defer context.AfterFunc(ctx, func() { _ = client.cmd.Process.Kill() })()
	said := bufio.NewReader(out)
	hear := func(word string) error {
		line, err := said.ReadString('\n')
		switch {
		case strings.TrimSpace(line) == word:
			return nil
		case err == io.EOF:
			<-client.done
			return client.ended()
		}
		return fmt.Errorf("the client says %q: %v", line, err)
	}
	if err := hear("held"); err != nil {
		return before, after, err
	}
	if after, err = settled(ctx, c.child); err != nil {
		return before, after, err
	}
	return before, after, errors.Join(in.Close(), hear("answered"))
}

// settled is a child's memory when it has stopped changing: it has done so when
// it differs by less than a hundredth from what it was a second ago.
func settled(ctx context.Context, c *child) (memory, error) {
	last, err := c.memory()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for range 15 {
		if err != nil {
			return last, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return last, ctx.Err()
		}
		var now memory
		now, err = c.memory()
		if err == nil && math.Abs(now.rss-last.rss) < last.rss/100 {
			return now, nil
		}
		last = now
	}
	return last, err
}
