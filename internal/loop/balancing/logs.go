package balancing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/elb"
)

const (
	// flushInterval is how long lines of access logs wait in memory.
	flushInterval = time.Second
	// maxPending is how many bytes may wait when they cannot be written. AWS's
	// access logs are on a best-effort basis, too.
	maxPending = 8 << 20
)

// accessLogs writes access logs into a directory that stands for S3. A file has the
// name that AWS gives it when its interval has ended, and gets its lines as they
// come.
type accessLogs struct {
	dir, account, region string
	log                  *slog.Logger

	mu   sync.Mutex            // guards the fields below and what is in them
	byID map[string]*accessLog // load balancers that have an access log
	gone []*accessLog          // those that had one, with lines that wait
}

// accessLog is one load balancer's.
type accessLog struct {
	name     string
	address  netip.Addr // in the names of files
	settings elb.AccessLog
	parts    []*logPart
	size     int    // of what waits, in bytes
	lost     int    // lines that there was no room for
	tested   string // the bucket that has been written to
	said     string // what was last logged
}

// logPart is what is to be written to one file.
type logPart struct {
	file string
	end  time.Time // of the interval
	data []byte
}

func newAccessLogs(dir, account, region string, log *slog.Logger) *accessLogs {
	return &accessLogs{dir: dir, account: account, region: region, log: log, byID: map[string]*accessLog{}}
}

// set says which load balancers have an access log. Lines of those that have none
// any more are written still.
func (a *accessLogs) set(all []elb.LoadBalancer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wanted := map[string]bool{}
	for _, lb := range all {
		if !lb.Attributes.AccessLog.Enabled {
			continue
		}
		wanted[lb.ID] = true
		l := a.byID[lb.ID]
		if l == nil {
			l = &accessLog{}
			a.byID[lb.ID] = l
		}
		l.name, l.settings, l.address = lb.Name, lb.Attributes.AccessLog, nodeAddress(lb)
	}
	for id, l := range a.byID {
		if !wanted[id] {
			a.gone = append(a.gone, l)
			delete(a.byID, id)
		}
	}
}

// nodeAddress is whom clients know the load balancer by.
func nodeAddress(lb elb.LoadBalancer) netip.Addr {
	if lb.Scheme == loadbalancer.Internal && len(lb.Nodes) > 0 {
		return lb.Nodes[0].Address
	}
	return lb.HostAddress
}

// add takes a line; the proxy calls it from many goroutines.
func (a *accessLogs) add(b *proxy.Balancer, line []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.byID[b.ID]
	switch {
	case l == nil:
		return
	case l.size+len(line) > maxPending:
		l.lost++
		return
	}
	now := time.Now()
	var part *logPart
	if n := len(l.parts); n > 0 && now.Before(l.parts[n-1].end) {
		part = l.parts[n-1]
	} else {
		end := intervalEnd(now, l.settings.Interval)
		part = &logPart{file: a.file(l, end), end: end}
		l.parts = append(l.parts, part)
	}
	part.data = append(part.data, line...)
	l.size += len(line)
}

// intervalEnd is the end of the interval, in minutes, that now is in.
func intervalEnd(now time.Time, minutes int32) time.Time {
	d := time.Duration(minutes) * time.Minute
	return now.UTC().Truncate(d).Add(d)
}

// bucket is a load balancer's part of its bucket:
// bucket[/prefix]/AWSLogs/account.
func (a *accessLogs) bucket(l *accessLog) string {
	return filepath.Join(a.dir, l.settings.Bucket, filepath.FromSlash(l.settings.Prefix), "AWSLogs", a.account)
}

// file names a new file.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html#access-log-file-format
func (a *accessLogs) file(l *accessLog, end time.Time) string {
	return filepath.Join(a.bucket(l), "elasticloadbalancing", a.region, end.Format("2006/01/02"), fmt.Sprintf("%s_elasticloadbalancing_%s_%s_%s_%s_%s.log",
		a.account, a.region, l.name, end.Format("20060102T1504Z"), l.address, strings.ToLower(rand.Text()[:8])))
}

// run writes the lines until ctx ends, and then those that are left.
func (a *accessLogs) run(ctx context.Context) {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.flush()
		case <-ctx.Done():
			a.flush()
			return
		}
	}
}

// flush writes what waits. What cannot be written waits on, unless its access log
// is gone.
func (a *accessLogs) flush() {
	a.mu.Lock()
	all := slices.Concat(slices.Collect(maps.Values(a.byID)), a.gone)
	a.gone = nil
	a.mu.Unlock()
	for _, l := range all {
		said := ""
		if err := a.write(l); err != nil {
			if said = err.Error(); said != l.said {
				a.log.Error("writing a load balancer's access log; it is tried again", "loadBalancer", l.name, "error", err)
			}
		}
		l.said = said // this goroutine's alone
	}
}

// write writes what waits of one access log, without holding up who adds to it.
func (a *accessLogs) write(l *accessLog) error {
	a.mu.Lock()
	bucket, tested := a.bucket(l), l.tested
	var taken []logPart
	for _, part := range l.parts {
		taken = append(taken, *part)
		part.data = nil
	}
	lost := l.lost
	l.size, l.lost = 0, 0
	l.parts = slices.DeleteFunc(l.parts, func(p *logPart) bool { return !time.Now().Before(p.end) })
	a.mu.Unlock()

	var errs []error
	if bucket != tested {
		// AWS writes this object when an access log is enabled, and clients look for it.
		text := fmt.Sprintf("Enable AccessLog for ELB: %s at %s\n", l.name, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
		if err := writeFile(filepath.Join(bucket, "ELBAccessLogTestFile"), os.O_TRUNC, []byte(text)); err != nil {
			errs = append(errs, err)
		} else {
			tested = bucket
		}
	}
	var left []logPart
	for _, part := range taken {
		if len(part.data) == 0 {
			continue
		}
		if err := writeFile(part.file, os.O_APPEND, part.data); err != nil {
			errs = append(errs, err)
			left = append(left, part)
		}
	}
	if lost > 0 {
		errs = append(errs, fmt.Errorf("%d lines were lost: there was no room for them", lost))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l.tested = tested
	a.back(l, left)
	return errors.Join(errs...)
}

// back puts what could not be written before what waits; a.mu must be held.
func (a *accessLogs) back(l *accessLog, left []logPart) {
	for _, part := range slices.Backward(left) {
		l.size += len(part.data)
		i := slices.IndexFunc(l.parts, func(p *logPart) bool { return p.file == part.file })
		if i >= 0 {
			l.parts[i].data = append(part.data, l.parts[i].data...)
		} else {
			l.parts = slices.Insert(l.parts, 0, &part)
		}
	}
}

func writeFile(file string, how int, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|how, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
