package autoscaler

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// Provider is where groups are: a Cloud.
type Provider interface {
	// Groups describes the groups as they are now.
	Groups(context.Context) ([]Group, error)
	// Resize sets a group's desired size.
	Resize(ctx context.Context, group string, size int) error
	// Terminate ends an instance and makes its group smaller by one.
	Terminate(ctx context.Context, instance string) error
}

// LoopConfig is what a Loop needs.
type LoopConfig struct {
	Client       kubernetes.Interface
	Cloud        Provider
	Options      Options
	Namespace    string        // where the ConfigMaps are
	StatusName   string        // of the ConfigMap; "" for none
	ScanInterval time.Duration // at the latest after this the cluster is looked at again
	Recorder     record.EventRecorder
	Metrics      *Metrics
	Health       *Health
}

const (
	// Pods become unschedulable one after another: the loop waits until none has
	// for a moment, but not for long.
	quiet, patience = 20 * time.Millisecond, 200 * time.Millisecond
	// A description of the groups is good enough to look at for ageIdle, for
	// ageBusy while something is going on, and for ageAct to act upon.
	ageIdle, ageBusy, ageAct = time.Minute, 5 * time.Second, time.Second
	// Whatever happens, AWS is not asked more often than this.
	ageLeast = 300 * time.Millisecond
	// forgetAfter is how long a node may stay known after its instance's end.
	forgetAfter = 5 * time.Minute
)

// Loop looks at the cluster when something happens, and acts.
type Loop struct {
	cfg   LoopConfig
	watch *watch
	kick  chan struct{} // of one: something happened

	mu    sync.Mutex // guards stale
	stale bool       // the groups are to be described anew

	object atomic.Pointer[corev1.ConfigMap] // of the status

	// What follows is Run's alone.
	memory   Memory
	groups   []Group
	seen     time.Time // when they were described
	busy     bool      // something is going on
	status   *Status
	told     map[string]told // by pod: what it was last told
	ended    chan outcome    // of removals
	removals sync.WaitGroup
	cleaned  bool
}

// told is an event that a pod got.
type told struct {
	text string
	at   time.Time
}

// NewLoop returns a loop that has not begun.
func NewLoop(cfg LoopConfig) (*Loop, error) {
	l := &Loop{cfg: cfg, kick: make(chan struct{}, 1), told: map[string]told{}, ended: make(chan outcome)}
	var err error
	l.watch, err = newWatch(cfg.Client, cfg.Namespace, &l.cfg.Options, l.wake, func() {
		l.expire()
		l.wake()
	})
	return l, err
}

// wake makes the loop look soon.
func (l *Loop) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// expire makes the next look at the cluster describe the groups anew.
func (l *Loop) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale = true
}

// Run returns when ctx has ended and all that it began is over. Removals that
// are under way then are given up, and their nodes are free again.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() { // the watch ends last: removals look at it
		cancel()
		l.drainOutcomes()
		l.watch.stop()
	}()
	if err := l.watch.run(ctx); err != nil {
		return err
	}
	l.cfg.Health.begin()
	l.initialize(ctx)
	for {
		due := l.once(ctx)
		timer := time.NewTimer(min(l.cfg.ScanInterval, max(quiet, time.Until(due))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case o := <-l.ended:
			l.settle(o)
		case <-l.kick:
			l.calm(ctx)
		}
		timer.Stop()
	}
}

// calm waits until nothing has happened for a moment.
func (l *Loop) calm(ctx context.Context) {
	end := time.After(patience)
	for {
		select {
		case <-l.kick:
		case <-time.After(quiet):
			return
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}

// drainOutcomes waits for all removals.
func (l *Loop) drainOutcomes() {
	over := make(chan struct{})
	go func() {
		l.removals.Wait()
		close(over)
	}()
	for {
		select {
		case <-l.ended:
		case <-over:
			return
		}
	}
}

// initialize writes that the autoscaler is there.
func (l *Loop) initialize(ctx context.Context) {
	if l.cfg.StatusName == "" {
		return
	}
	l.writeStatus(ctx, &Status{Time: time.Now().UTC().Format(timeFormat), AutoscalerStatus: "Initializing"})
}

func (l *Loop) writeStatus(ctx context.Context, s *Status) {
	m := statusMap{l.cfg.Client, l.cfg.Namespace, l.cfg.StatusName}
	object, err := m.write(ctx, s)
	if err != nil {
		klog.Error(err)
		return
	}
	l.object.Store(object)
	l.status = s
}

// CleanUp removes the status, as upstream does when it is told to end.
func (l *Loop) CleanUp(ctx context.Context) error {
	if l.cfg.StatusName == "" {
		return nil
	}
	return statusMap{l.cfg.Client, l.cfg.Namespace, l.cfg.StatusName}.remove(ctx)
}

// event records something about the cluster as a whole.
func (l *Loop) event(kind, reason, format string, args ...any) {
	if object := l.object.Load(); object != nil {
		l.cfg.Recorder.Eventf(object, kind, reason, format, args...)
	}
}

// once looks at the cluster and acts. It returns when to look again, a far time
// if nothing but the scan interval says so.
func (l *Loop) once(ctx context.Context) time.Time {
	start := time.Now()
	far := start.Add(l.cfg.ScanInterval)
	m := l.cfg.Metrics
	m.active("main", start)
	defer m.took("main", start)
	klog.V(4).Info("Starting main loop")
	if err := l.refresh(ctx, start, false); err != nil {
		l.failed("cloudProviderError")
		return far
	}
	l.clean(ctx)
	s, d, err := l.decide(start)
	if err == nil && d.Acts() && start.Sub(l.seen) > ageAct {
		if err = l.refresh(ctx, start, true); err == nil { // others change groups too
			s, d, err = l.decide(start)
		}
	}
	if err != nil {
		klog.Errorf("Failed to look at the cluster: %v", err)
		l.failed("internalError")
		return far
	}
	for _, line := range d.Log {
		switch {
		case line.Warning:
			klog.Warning(line.Text)
		default:
			klog.V(klog.Level(line.Level)).Info(line.Text)
		}
	}
	m.active("autoscaling", start)
	m.show(&s, &d, &l.cfg.Options)
	l.memory = d.Memory
	ok := l.act(ctx, &s, &d, start)
	l.busy = d.Pods > 0 || len(l.memory.Deleting)+len(l.memory.Requests)+len(l.memory.Unregistered) > 0
	if l.cfg.StatusName != "" && ctx.Err() == nil {
		l.report(ctx, &d, start)
	}
	if ok {
		l.cfg.Health.ran(true)
	} else {
		l.failed("cloudProviderError")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stale { // it was too early to ask AWS again
		d.due(l.seen.Add(ageLeast))
	}
	if d.Due.IsZero() {
		return far
	}
	return d.Due
}

func (l *Loop) failed(kind string) {
	l.cfg.Metrics.failures.WithLabelValues(kind).Inc()
	l.cfg.Health.ran(false)
}

// report writes the status if it says something new, and at each scan.
func (l *Loop) report(ctx context.Context, d *Decision, now time.Time) {
	s := newStatus(d, l.status, now)
	if l.status != nil && l.status.ClusterWide != nil && s.says(l.status) && now.Sub(l.status.ClusterWide.Health.LastProbeTime.Time) < l.cfg.ScanInterval-quiet {
		return
	}
	l.writeStatus(ctx, s)
}

// says tells whether two statuses are the same but for the times at which they
// were made.
func (s *Status) says(other *Status) bool {
	return fmt.Sprint(s.words()) == fmt.Sprint(other.words())
}

func (s *Status) words() []any {
	c := s.ClusterWide
	words := []any{s.AutoscalerStatus, c.Health.Status, c.Health.NodeCounts, c.ScaleUp.Status, c.ScaleDown.Status, c.ScaleDown.Candidates}
	for _, g := range s.NodeGroups {
		words = append(words, g.Name, g.Health.Status, g.Health.NodeCounts, g.Health.CloudProviderTarget, g.Health.MinSize, g.Health.MaxSize,
			g.ScaleUp.Status, g.ScaleDown.Status, g.ScaleDown.Candidates)
	}
	return words
}
