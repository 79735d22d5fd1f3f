package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// connections bounds the calls under way at once.
const connections = 64

// paced makes calls at a rate per second, each when it is due, whether those
// before it are answered or not. It returns how long after its due time each was
// done, in ms: a stall also counts for those that it kept waiting.
func paced(ctx context.Context, rate int, during time.Duration, call func(context.Context) error) ([]float64, error) {
	took := make([]float64, int(during.Seconds()*float64(rate)))
	var next atomic.Int64
	began := time.Now()
	err := workers(ctx, connections, func(ctx context.Context) (bool, error) {
		n := int(next.Add(1)) - 1
		if n >= len(took) {
			return false, nil
		}
		due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		if err := call(ctx); err != nil {
			return false, err
		}
		took[n] = milliseconds(time.Since(due))
		return true, nil
	})
	return took, err
}

// unpaced makes calls as fast as they are answered, several at once, and returns
// how many there were per second.
func unpaced(ctx context.Context, atOnce int, during time.Duration, call func(context.Context) error) (float64, error) {
	var calls atomic.Int64
	began := time.Now()
	err := workers(ctx, atOnce, func(ctx context.Context) (bool, error) {
		if err := call(ctx); err != nil {
			return false, err
		}
		calls.Add(1)
		return time.Since(began) < during, nil
	})
	return float64(calls.Load()) / time.Since(began).Seconds(), err
}

// workers runs work in n goroutines, in each until it returns false, and waits
// for them. The first error ends them all.
func workers(ctx context.Context, n int, work func(context.Context) (more bool, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			for ctx.Err() == nil {
				more, err := work(ctx)
				if err != nil {
					cancel(err)
				}
				if !more {
					return
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
