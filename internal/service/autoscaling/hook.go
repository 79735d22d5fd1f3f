package autoscaling

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Results of a lifecycle action.
const (
	Continue = "CONTINUE"
	Abandon  = "ABANDON"
)

// Hook is a lifecycle hook.
type Hook struct {
	Name       string
	Transition string // autoscaling:EC2_INSTANCE_LAUNCHING or …_TERMINATING
	Heartbeat  time.Duration
	Global     time.Duration // 100 times Heartbeat, 48 h at most
	Default    string        // CONTINUE or ABANDON
	Target     string        // notification target ARN
	Role       string
	Metadata   string
}

// Transitions of hooks.
const (
	Launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	Terminating = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// NewHook is a hook with AWS's defaults: an hour, and ABANDON.
func NewHook(name, transition string) Hook {
	h := Hook{Name: name, Transition: transition, Default: Abandon}
	h.SetHeartbeat(time.Hour)
	return h
}

// SetHeartbeat sets the heartbeat timeout, and the global one that follows from it.
func (h *Hook) SetHeartbeat(d time.Duration) {
	h.Heartbeat, h.Global = d, min(100*d, 48*time.Hour)
}

// Wait is one hook's lifecycle action on an instance.
type Wait struct {
	Hook     string
	Token    string // lifecycle action token, a UUID
	Started  time.Time
	Deadline time.Time // the next heartbeat's
	Result   string    // CONTINUE or ABANDON, once it is completed

	Heartbeat time.Duration // by which a heartbeat moves Deadline on
	Limit     time.Time     // until when heartbeats help
	Default   string        // the result when Deadline has passed
}

// result is CONTINUE or ABANDON, or "" as long as it is waited for.
func (w Wait) result(now time.Time) string {
	switch {
	case w.Result != "":
		return w.Result
	case !now.Before(w.Deadline):
		return w.Default
	}
	return ""
}

// Begin moves the member into state, where it waits for the hooks. A member
// without hooks has nothing to wait for there: Waiting is done at once.
func (m *Member) Begin(hooks []Hook, state State, now time.Time) {
	m.State, m.Since, m.Waits = state, now, nil
	for _, h := range hooks {
		heartbeat, global := h.Heartbeat, h.Global
		if heartbeat <= 0 {
			heartbeat = time.Hour
		}
		if global <= 0 {
			global = min(100*heartbeat, 48*time.Hour)
		}
		m.Waits = append(m.Waits, Wait{
			Hook: h.Name, Token: uuid.NewString(), Started: now, Deadline: now.Add(heartbeat),
			Heartbeat: heartbeat, Limit: now.Add(global), Default: h.Default,
		})
	}
}

// Waiting says whether the member's wait is over at a time, and with what result:
// CONTINUE if all hooks say so, ABANDON as soon as one does. Otherwise next is when
// a heartbeat is missed first.
func (m Member) Waiting(now time.Time) (done bool, result string, next time.Time) {
	open := false
	for _, w := range m.Waits {
		switch w.result(now) {
		case Continue:
		case "":
			if !open || w.Deadline.Before(next) {
				next = w.Deadline
			}
			open = true
		default:
			return true, Abandon, time.Time{}
		}
	}
	if open {
		return false, "", next
	}
	return true, Continue, time.Time{}
}

// Complete ends the lifecycle action of a hook, by its name or its token; ok is
// false if the member does not wait for it.
func (m *Member) Complete(hookOrToken, result string) (ok bool) {
	w := m.wait(hookOrToken)
	if w == nil {
		return false
	}
	w.Result = result
	return true
}

// Beat is a heartbeat: the lifecycle action gets its whole timeout once more, to
// the global timeout at most.
func (m *Member) Beat(hookOrToken string, now time.Time) (ok bool) {
	w := m.wait(hookOrToken)
	if w == nil {
		return false
	}
	w.Deadline = now.Add(w.Heartbeat)
	if w.Deadline.After(w.Limit) {
		w.Deadline = w.Limit
	}
	return true
}

// wait is the action of a hook that has no result yet, nil if there is none.
func (m *Member) wait(hookOrToken string) *Wait {
	i := slices.IndexFunc(m.Waits, func(w Wait) bool {
		return w.Result == "" && (w.Hook == hookOrToken || w.Token == hookOrToken)
	})
	if i < 0 {
		return nil
	}
	return &m.Waits[i]
}

// Abandoned is the message of an activity whose instance was abandoned, "" if it
// was not.
func (m Member) Abandoned(now time.Time) string {
	for _, w := range m.Waits {
		if w.result(now) != Abandon {
			continue
		}
		why := "Lifecycle Action Completed with ABANDON Result"
		if w.Result == "" {
			why = "Heartbeat Timeout"
		}
		return fmt.Sprintf("Instance failed to complete user's Lifecycle Action: Lifecycle Action with token %s was abandoned: %s", w.Token, why)
	}
	return ""
}
