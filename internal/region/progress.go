package region

import (
	"sync"
	"time"
)

// Event is a piece of progress: a step began, says what it waits for, ended or
// failed.
type Event struct {
	Step    string        `json:"step,omitempty"`
	State   EventState    `json:"state"`
	Detail  string        `json:"detail,omitempty"`
	Elapsed time.Duration `json:"elapsed,omitempty"` // of a step that ended
}

// EventState is what an Event says about its step.
type EventState string

// States of a step, and the two ends of an operation.
const (
	StepBegan   EventState = "began"
	StepWaiting EventState = "waiting"
	StepDone    EventState = "done"
	StepFailed  EventState = "failed"
	Warning     EventState = "warning"
	Finished    EventState = "finished"
	Failed      EventState = "operation failed"
)

// progress collects events for those who look on, now or later.
type progress struct {
	mu      sync.Mutex // guards the fields below
	events  []Event
	changed chan struct{} // closed and replaced at each event
}

func newProgress() *progress { return &progress{changed: make(chan struct{})} }

func (p *progress) emit(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	close(p.changed)
	p.changed = make(chan struct{})
}

// after returns the events since the n-th, and a channel that closes at the next.
func (p *progress) after(n int) ([]Event, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events[min(n, len(p.events)):], p.changed
}

func (p *progress) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.events)
}

// step runs work as a named step. What work returns is shown behind the name.
func (p *progress) step(name string, work func(waiting func(string)) (string, error)) error {
	began := time.Now()
	p.emit(Event{Step: name, State: StepBegan})
	last := ""
	detail, err := work(func(what string) {
		if what != last {
			last = what
			p.emit(Event{Step: name, State: StepWaiting, Detail: what})
		}
	})
	if err != nil {
		p.emit(Event{Step: name, State: StepFailed, Elapsed: time.Since(began)})
		return err
	}
	p.emit(Event{Step: name, State: StepDone, Detail: detail, Elapsed: time.Since(began)})
	return nil
}
