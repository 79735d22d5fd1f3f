package autoscaling

import "time"

// State is a lifecycle state of an instance in a group, in AWS's words.
type State string

// Lifecycle states. Those of a warm pool begin with "Warmed:".
const (
	Pending            State = "Pending"
	PendingWait        State = "Pending:Wait"
	PendingProceed     State = "Pending:Proceed"
	InService          State = "InService"
	TerminatingNow     State = "Terminating"
	TerminatingWait    State = "Terminating:Wait"
	TerminatingProceed State = "Terminating:Proceed"
	Terminated         State = "Terminated"
	Detaching          State = "Detaching"
	Detached           State = "Detached"
	EnteringStandby    State = "EnteringStandby"
	Standby            State = "Standby"

	WarmedPending            State = "Warmed:Pending"
	WarmedPendingWait        State = "Warmed:Pending:Wait"
	WarmedPendingProceed     State = "Warmed:Pending:Proceed"
	WarmedTerminating        State = "Warmed:Terminating"
	WarmedTerminatingWait    State = "Warmed:Terminating:Wait"
	WarmedTerminatingProceed State = "Warmed:Terminating:Proceed"
	WarmedTerminated         State = "Warmed:Terminated"
	WarmedStopped            State = "Warmed:Stopped"
	WarmedRunning            State = "Warmed:Running"
	WarmedHibernated         State = "Warmed:Hibernated"
)

// Member is an instance of a group. Handlers ask by it (Ending, Health,
// Protected, the states EnteringStandby and Detaching); loop fleet moves it on
// and deletes it when the instance is gone.
type Member struct {
	Group    string
	Instance string // id
	Type     string
	Zone     string
	Subnet   string
	// Template and Version are the launch template's that it was launched from,
	// Configuration the launch configuration's.
	Template, TemplateName, Version string
	Configuration                   string
	Weight                          int // of a mixed instances policy; 0: none

	State     State
	Since     time.Time // in State
	InService time.Time // first reached; zero: never
	Healthy   bool
	// Unhealthy says why it is not, as an activity's cause has it ("an instance
	// was taken out of service in response to an EC2 health check indicating it
	// has been terminated or stopped.").
	Unhealthy string
	Protected bool // from scale-in

	// Ending asks for its end, whatever the group's size is. Cause is the sentence
	// of the activity.
	Ending bool
	Cause  string
	// Activity is that of its launch, its end or its move, in progress. A call that
	// asks for one of them begins the activity; loop fleet goes on with it.
	Activity string

	// Waits are the hooks that it waits for in a state with ":Wait".
	Waits []Wait
}

// Key is the member's key in the store.
func (m Member) Key() string { return Prefix(m.Group) + m.Instance }

// Counts says whether the instance is part of the group's capacity: it launches
// or is in service, and is not about to leave.
func (m Member) Counts() bool { return m.live() && !m.Ending }

func (m Member) live() bool {
	switch m.State {
	case Pending, PendingWait, PendingProceed, InService:
		return true
	}
	return false
}

// Warm says whether the instance is the warm pool's.
func (m Member) Warm() bool { return len(m.State) > 7 && m.State[:7] == "Warmed:" }

// Shown is the state as the API tells it: an instance whose end was asked for is
// terminating, whatever loop fleet has done about it.
func (m Member) Shown() State {
	if m.Ending && (m.live() || m.State == Standby || m.State == EnteringStandby) {
		return TerminatingNow
	}
	return m.State
}
