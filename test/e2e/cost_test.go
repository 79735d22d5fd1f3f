package e2e

import (
	"cmp"
	"path/filepath"
	"strings"
	"sync"
)

// cost is what a script with regions of its own takes of the machine.
type cost struct {
	seconds int  // how long it takes, about
	inotify int  // the most inotify instances that it has: 12 for a control plane, 9 for a node
	waits   bool // nearly all the time, so that it may run beside those that do not
}

// costs are those that were measured.
var costs = map[string]cost{
	"requests":       {seconds: 300, inotify: 30, waits: true},
	"second-cluster": {seconds: 260, inotify: 42},
	"reset":          {seconds: 230, inotify: 48},
	"policies":       {seconds: 170, inotify: 48},
	"join":           {seconds: 145, inotify: 39, waits: true},
	"autoscaler":     {seconds: 130, inotify: 66},
	"https":          {seconds: 110, inotify: 30},
	"balancing":      {seconds: 90, inotify: 48},
	"scale":          {seconds: 70, inotify: 48},
	"neighbours":     {seconds: 65, inotify: 42},
	"stop":           {seconds: 30, inotify: 39},
	"hostnames":      {seconds: 25, inotify: 21},
	"errors":         {seconds: 15},
}

// costOf is a script's cost; one that was not measured is like many.
func costOf(file string) cost {
	name := strings.TrimSuffix(filepath.Base(file), ".txtar")
	return cmp.Or(costs[name], cost{seconds: 100, inotify: 48})
}

// machine is what is free on it.
type machine struct {
	mu      sync.Mutex
	freed   *sync.Cond
	busy    int // scripts that do not only wait
	inotify int
}

// newMachine returns one with room for two busy scripts, and with the inotify
// instances that the kernel gives root's programs (128), but for some of others.
func newMachine() *machine {
	m := &machine{busy: 2, inotify: 120}
	m.freed = sync.NewCond(&m.mu)
	return m
}

// take waits until there is room for a script, which then is its own.
func (m *machine) take(c cost) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.inotify < c.inotify || !c.waits && m.busy == 0 {
		m.freed.Wait()
	}
	m.change(c, -1)
}

// give gives it back.
func (m *machine) give(c cost) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(c, 1)
	m.freed.Broadcast()
}

func (m *machine) change(c cost, sign int) {
	m.inotify += sign * c.inotify
	if !c.waits {
		m.busy += sign
	}
}
