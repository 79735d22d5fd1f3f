package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

// What DescribeInstanceHealth says.
const (
	registering   = "Instance registration is still in progress."
	deregistering = "Instance deregistration currently in progress."
	failing       = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively."
	recovering    = "Instance has not passed the configured HealthyThreshold number of health checks consecutively."
	elsewhere     = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to."
)

// verdict is what the checks of a backend so far come to.
type verdict struct {
	healthy bool
	known   bool // one check succeeded, or so many failed as make it unhealthy
	passed  int  // in a row, up to now
	failed  int
}

// next is the verdict after one more check. A backend that is new is in service after its first
// success, as on AWS (https://repost.aws/knowledge-center/health-checks-classic-load-balancer: “any new
// instances … are automatically issued a health check. If the health check succeeds, the instance is
// marked as InService”); one that failed needs as many as the threshold says.
func (v verdict) next(ok bool, h *HealthCheck) verdict {
	if ok {
		v.passed, v.failed = v.passed+1, 0
		if !v.known || v.passed >= max(h.Healthy, 1) {
			v.healthy, v.known = true, true
		}
		return v
	}
	v.passed, v.failed = 0, v.failed+1
	if v.failed >= max(h.Unhealthy, 1) {
		v.healthy, v.known = false, true
	}
	return v
}

// describe puts the verdict in the words of DescribeInstanceHealth.
func (v verdict) describe() (state, reason, description string) {
	switch {
	case v.healthy:
		return InService, ReasonNone, ReasonNone
	case !v.known:
		return OutOfService, ReasonELB, registering
	case v.passed > 0:
		return OutOfService, ReasonInstance, recovering
	default:
		return OutOfService, ReasonInstance, failing
	}
}

// eager is how long after a look at a backend that registers the next one follows.
const eager = time.Second

// watch checks a backend until its context ends: at once, and then about every interval, so that
// balancers and backends do not all do so at the same time. Between two checks it has a look, each
// second, at one that is still registering: it is to be in service as soon as it can be. What such a
// look does not find says nothing.
func (k *backend) watch() {
	for {
		spec, h := k.b.spec.Load(), &k.group.settings.Load().HealthCheck
		k.judge(check(k.ctx, k.b.p.cfg.Dial, spec, h, k), spec, h)
		due := time.Now().Add(time.Duration(float64(h.Interval) * (0.95 + 0.1*rand.Float64())))
		if !k.await(due, spec, h) {
			return
		}
	}
}

// await returns when the next check is due, or there is a reason for one now; it is false at the end.
func (k *backend) await(due time.Time, spec *Balancer, h *HealthCheck) bool {
	for {
		pause := time.Until(due)
		looks := !k.known() && pause > eager
		if looks {
			pause = eager
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-k.again:
			timer.Stop()
			return true
		case <-k.ctx.Done():
			timer.Stop()
			return false
		}
		if !looks {
			return true
		}
		ctx, cancel := context.WithDeadline(k.ctx, due)
		if check(ctx, k.b.p.cfg.Dial, spec, h, k) == nil {
			k.judge(nil, spec, h)
		}
		cancel()
	}
}

// known says whether the checks have come to something.
func (k *backend) known() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.verdict.known
}

// judge takes note of a check.
func (k *backend) judge(err error, spec *Balancer, h *HealthCheck) {
	if k.ctx.Err() != nil {
		return // the check was cut short
	}
	k.mu.Lock()
	before := k.verdict
	k.verdict = before.next(err == nil, h)
	if err != nil {
		k.cause = err
	}
	now := k.verdict
	k.mu.Unlock()
	if before.healthy != now.healthy {
		k.turn(now.healthy, spec)
		log := k.b.p.cfg.Logger.With("balancer", spec.Name, "backend", k.spec.ID, "address", k.spec.Address)
		if k.spec.Group != "" {
			log = log.With("group", k.spec.Group, "port", k.spec.Port)
		}
		if now.healthy {
			log.Info("backend in service")
		} else {
			log.Warn("backend out of service", "error", err)
		}
	}
	_, _, was := before.describe()
	if _, _, is := now.describe(); was != is {
		k.b.p.changed()
	}
}

// check makes one health check; nil is a success.
func check(ctx context.Context, dial dialer, b *Balancer, h *HealthCheck, k *backend) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	port := h.Port
	if port == 0 {
		port = k.spec.Port
	}
	to := netip.AddrPortFrom(k.spec.Address, uint16(port))
	c, err := dial(ctx, b, b.node(k.spec.Zone), to)
	if err != nil {
		return fmt.Errorf("connect for a health check: %w", late(ctx, err))
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if h.Protocol.Secure() {
		t := tls.Client(c, backendTLS(nil, nil))
		if err := t.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("health check: %w", late(ctx, err))
		}
		return h.finish(ctx, t, to, b.agent())
	}
	return h.finish(ctx, c, to, b.agent())
}

// late adds to an error that time was up when it came, if it does not say so itself.
func late(ctx context.Context, err error) error {
	over := ctx.Err()
	if over == nil && errors.Is(err, os.ErrDeadlineExceeded) { // a socket's deadline is that of ctx, and may come first
		over = context.DeadlineExceeded
	}
	if over == nil || errors.Is(err, over) {
		return err
	}
	return errors.Join(err, over)
}

// agent is who asks in health checks.
func (b *Balancer) agent() string {
	if b.Application {
		return "ELB-HealthChecker/2.0"
	}
	return "ELB-HealthChecker/1.0"
}

// finish makes what of a check comes once there is a connection.
func (h *HealthCheck) finish(ctx context.Context, c net.Conn, to netip.AddrPort, agent string) error {
	if !h.Protocol.Web() {
		return nil
	}
	status, err := get(c, to, h.Path, agent)
	if err != nil {
		return fmt.Errorf("health check: %w", late(ctx, err))
	}
	if !h.passes(status) {
		return fmt.Errorf("health check: %w", StatusError(status))
	}
	return nil
}

// get asks for a path and returns the response's status.
func get(c net.Conn, to netip.AddrPort, path, agent string) (status int, err error) {
	if path == "" {
		path = "/"
	}
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: */*\r\nConnection: close\r\n\r\n", path, to, agent)
	if err != nil {
		return 0, err
	}
	buf, n := make([]byte, 64<<10), 0
	for {
		m, err := c.Read(buf[n:])
		n += m
		var r http1.Response
		used, perr := http1.ParseResponse(buf[:n], &r, []byte("GET"), http1.Limits{})
		switch {
		case perr != nil:
			return 0, perr
		case used > 0 && r.Status/100 == 1:
			n = copy(buf, buf[used:n])
			continue
		case used > 0:
			return r.Status, nil
		case errors.Is(err, io.EOF):
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case n == len(buf):
			return 0, errors.New("the response's head is too long")
		}
	}
}
