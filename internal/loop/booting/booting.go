// Package booting is the loop that makes EC2's instances run on this machine:
// it reads the instances' desired states and boots or ends them through a Host.
package booting

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// Host runs instances.
type Host interface {
	// Boot starts the instance, or finds it started. It is harmless when run
	// again.
	Boot(ctx context.Context, i ec2.Instance) error
	// Halt stops the instance; its disk and its addresses stay. It returns nil if
	// it does not run.
	Halt(ctx context.Context, i ec2.Instance) error
	// End ends the instance and removes all that it had. It returns nil if
	// there is nothing left of it.
	End(ctx context.Context, i ec2.Instance) error
	// Forget removes what an instance that has ended is remembered by: what its
	// console has shown. It is harmless when run again.
	Forget(ctx context.Context, i ec2.Instance) error
}

// EC2 shows a terminated instance for about an hour.
const keepTerminated = time.Hour

// defaultRetry is Loop.Retry where that is not set.
const defaultRetry = 2 * time.Second

// Loop boots and ends instances.
type Loop struct {
	EC2    *ec2.Service
	Host   Host
	Logger *slog.Logger
	// Retry is the pause before the next attempt at an instance that failed; 0
	// means two seconds.
	Retry time.Duration
}

// Act is what an instance's state asks for.
type Act int

// Acts, for what Decide returns.
const (
	Nothing Act = iota
	Boot
	Reboot
	Halt
	End
	Forget
)

// Booted is what this process has done with an instance.
type Booted struct {
	Running bool
	Reboots int // those that it has followed
}

// Decide says what to do about an instance.
func Decide(i ec2.Instance, b Booted, now time.Time) Act {
	switch {
	case i.State == ec2.Pending, i.State == ec2.Running && !b.Running:
		return Boot
	case i.State == ec2.Running && i.Reboots > b.Reboots:
		return Reboot
	case i.State == ec2.Stopping:
		return Halt
	case i.State == ec2.ShuttingDown:
		return End
	case i.State == ec2.Terminated && now.Sub(i.Ended) >= keepTerminated:
		return Forget
	default:
		return Nothing
	}
}

// task is what the loop knows of one instance.
type task struct {
	busy   bool // it is being booted or ended
	booted Booted
	failed bool // the last attempt did; the next tick brings another one
	// tried is the revision of the instance that was acted on last: what the loop
	// sees next may still be that one, although the act has changed it.
	tried int64
}

type outcome struct {
	id      string
	act     Act
	reboots int
	err     error
}

// Run acts on every change until ctx ends, on several instances at once and on
// each of them in order.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	follower := l.EC2.Instances.Follow(ctx, "")
	var (
		running sync.WaitGroup
		tasks   = map[string]*task{}
		done    = make(chan outcome)
		again   = time.NewTicker(cmp.Or(l.Retry, defaultRetry))
		current store.Snapshot[ec2.Instance]
	)
	defer func() {
		again.Stop()
		cancel()
		for range follower.C { // until it has ended
		}
		running.Wait()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case snapshot, ok := <-follower.C:
			if !ok {
				return follower.Err()
			}
			current = snapshot
			maps.DeleteFunc(tasks, func(id string, t *task) bool {
				_, there := current.Get(id)
				return !there && !t.busy
			})
		case o := <-done:
			t := tasks[o.id]
			t.busy, t.failed = false, o.err != nil
			if o.act != Reboot || o.err == nil { // one that failed is still to be rebooted
				t.booted = Booted{(o.act == Boot || o.act == Reboot) && o.err == nil, o.reboots}
			}
			if o.err != nil && ctx.Err() == nil {
				l.Logger.Error("bringing an instance to its state", "instance", o.id, "error", o.err)
			}
		case <-again.C:
			for _, t := range tasks {
				if t.failed {
					t.failed, t.tried = false, 0
				}
			}
		}
		for _, item := range current.Items {
			i := item.Value
			t := tasks[i.ID]
			if t == nil {
				t = &task{}
				tasks[i.ID] = t
			}
			act := Decide(i, t.booted, time.Now())
			if act == Nothing || t.busy || t.tried == item.Revision {
				continue
			}
			t.busy, t.tried = true, item.Revision
			running.Go(func() {
				o := outcome{i.ID, act, i.Reboots, l.act(ctx, i, act)}
				select {
				case done <- o:
				case <-ctx.Done():
				}
			})
		}
	}
}

func (l *Loop) act(ctx context.Context, i ec2.Instance, act Act) error {
	switch act {
	case Boot:
		if err := l.Host.Boot(ctx, i); err != nil {
			return err
		}
		return l.EC2.MarkRunning(ctx, i.ID)
	case Reboot:
		if err := l.Host.Halt(ctx, i); err != nil {
			return err
		}
		return l.Host.Boot(ctx, i)
	case Halt:
		if err := l.Host.Halt(ctx, i); err != nil {
			return err
		}
		return l.EC2.MarkStopped(ctx, i.ID)
	case End:
		if err := l.Host.End(ctx, i); err != nil {
			return err
		}
		return l.EC2.MarkTerminated(ctx, i.ID)
	case Forget:
		if err := l.Host.Forget(ctx, i); err != nil {
			return err
		}
		return l.EC2.Instances.Delete(ctx, i.ID)
	default:
		return nil
	}
}
