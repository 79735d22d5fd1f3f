package proxy

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// defaultSurge is a Classic Load Balancer's surge queue.
const defaultSurge = 1024

func (l *Limits) surge() int {
	if l.SurgeQueue > 0 {
		return l.SurgeQueue
	}
	return defaultSurge
}

// surge is where requests wait until a backend takes more of them, first come, first served.
type surge struct {
	waiting atomic.Int64

	mu    sync.Mutex // guards queue
	queue []chan struct{}
}

// wait returns true once try does, which it calls again whenever there may be room. It returns false
// when ctx ends or time is up.
func (q *surge) wait(ctx context.Context, timeout time.Duration, try func() bool) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		turn := make(chan struct{})
		q.mu.Lock()
		q.queue = append(q.queue, turn)
		q.waiting.Store(int64(len(q.queue)))
		q.mu.Unlock()
		// There may have been room in between, of which nobody was told.
		if try() {
			q.drop(turn)
			return true
		}
		select {
		case <-turn:
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		q.drop(turn)
		return false
	}
}

// drop leaves the queue. Who was called in the meantime passes it on.
func (q *surge) drop(turn chan struct{}) {
	q.mu.Lock()
	for i, other := range q.queue {
		if other == turn {
			q.queue = append(q.queue[:i], q.queue[i+1:]...)
			q.waiting.Store(int64(len(q.queue)))
			q.mu.Unlock()
			return
		}
	}
	q.mu.Unlock()
	q.wake()
}

// wake tells the first in the queue that there is room.
func (q *surge) wake() {
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) > 0 {
		close(q.queue[0])
		q.queue = q.queue[1:]
		q.waiting.Store(int64(len(q.queue)))
	}
}

// wakeAll tells all that what they wait for has changed.
func (q *surge) wakeAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, turn := range q.queue {
		close(turn)
	}
	q.queue = nil
	q.waiting.Store(0)
}

// rate lets so many requests pass per second, and at once as many as in one second. It is one number:
// the time at which a full second's worth may pass again.
type rate struct {
	every atomic.Int64 // ns between requests; 0: no limit
	next  atomic.Int64 // Unix ns
}

func (r *rate) set(perSecond float64) {
	if perSecond <= 0 {
		r.every.Store(0)
		return
	}
	r.every.Store(int64(min(float64(time.Second)/perSecond, math.MaxInt64/4)))
}

// allow takes one request's worth, if there is.
func (r *rate) allow(now time.Time) bool {
	every := r.every.Load()
	if every == 0 {
		return true
	}
	t := now.UnixNano()
	burst := max(int64(time.Second), every)
	for {
		old := r.next.Load()
		next := max(old, t) + every
		if next > t+burst {
			return false
		}
		if r.next.CompareAndSwap(old, next) {
			return true
		}
	}
}
