package fleet

import (
	"reflect"
	"slices"
	"strings"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// State is what a decision is made from: a group, and what there is of it.
type State struct {
	Now     time.Time
	Group   autoscaling.Group
	Members []autoscaling.Member
	// Instances are the members', and those that carry the group's tag, by id.
	Instances map[string]ec2.Instance
	// Zones are those of the group's subnets, by id.
	Zones map[string]string
	// Source is what the group launches now.
	Source Source
	// Made is when launch configurations were made, by name.
	Made map[string]time.Time
	// Balancers are those of the group's Classic load balancers and target groups that
	// exist, and of those that leave it, by name or ARN.
	Balancers map[string]Balancer
	// Refresh is the instance refresh that is under way; nil: there is none.
	Refresh *autoscaling.Refresh
	// Alarm is one in ALARM that the refresh watches; "": there is none.
	Alarm string
}

// Balancer is a load balancer or target group as a group sees it. All are ids of instances.
type Balancer struct {
	Registered []string
	// Failing are those that have failed their health checks. One of which the
	// checks have said nothing yet is not.
	Failing []string
	// Draining were registered, and have requests under way.
	Draining []string
}

// has says that the load balancer may send the member something.
func (b Balancer) has(m *member) bool {
	return slices.Contains(b.Registered, m.Instance) || slices.Contains(b.Draining, m.Instance)
}

// Decision is what brings a group to what it should be.
type Decision struct {
	Launch  []Launch
	Changes []Change // of members
	// Register and Deregister are instances by load balancer.
	Register, Deregister map[string][]string
	// Left are load balancers that have none of the group's instances any more.
	Left []string
	// Refresh is the instance refresh as it is to be; nil: it stays.
	Refresh *autoscaling.Refresh
	// Configure is what the group launches from now on, because a refresh has
	// brought it; nil: it stays.
	Configure *autoscalingapi.DesiredConfiguration
	// Told: the group's reasons are told, in the causes of what is decided here,
	// or because the group has its size.
	Told bool
	// Removed: nothing is left of a group that is being deleted. PoolRemoved is the
	// same of its warm pool.
	Removed, PoolRemoved bool
	// Wake is when time alone may change the decision; zero: never.
	Wake time.Time
}

// Launch is a number of instances to run in one subnet.
type Launch struct {
	Subnet string
	Count  int
	Spot   bool
	Warm   bool   // for the warm pool
	Cause  string // of the activities
}

// Change is what becomes of a member.
type Change struct {
	Member autoscaling.Member // as it is to be
	New    bool               // it had no record
	Gone   bool               // its record goes
	// Starts is the activity that begins with the change. It takes the place of the
	// member's, which is cancelled if it has not ended.
	Starts *Activity
	// Status is that of the member's activity, "" if it stays; Message is why it
	// failed.
	Status, Message string
	Progress        int
	Do              Do // after the member is written
}

// Activity is one that is to begin.
type Activity struct{ Description, Cause string }

// Do is what is done to a member's instance.
type Do string

// What is done to instances. Tag and Untag are about the tag by which the group's
// instances are known.
const (
	Terminate Do = "terminate"
	Start     Do = "start"
	Stop      Do = "stop"
	Tag       Do = "tag"
	Untag     Do = "untag"
)

// GroupTag is the tag by which the instances of a group are known. AWS keeps the
// prefix for itself: nobody can give or take it.
const GroupTag = "aws:autoscaling:groupName"

// member is a member while it is decided on.
type member struct {
	Change
	*autoscaling.Member // Change's
	was                 autoscaling.Member
	instance            ec2.Instance // zero where there is none
}

// runs says that the instance does.
func (m *member) runs() bool { return m.instance.State == ec2.Running }

// ended says that nothing is left of the instance.
func (m *member) ended() bool {
	return m.instance.State == "" || m.instance.State == ec2.Terminated
}

// ending says that the instance has ended or is about to.
func (m *member) ending() bool { return m.ended() || m.instance.State == ec2.ShuttingDown }

// weight is the member's part in the group's capacity.
func (m *member) weight() int { return max(1, m.Weight) }

// spot says that it is a spot instance.
func (m *member) spot() bool { return m.instance.Spot != "" }

// planner is a decision in the making.
type planner struct {
	State
	Decision
	members []*member
	// surge is how many more than desired the group has while instances are
	// replaced by new ones that run before they end; because says why, if the
	// desired capacity does not.
	surge   int
	because string
	// stale are those of the warm pool that an instance refresh is to replace.
	stale []*member
}

// Plan decides. It is harmless to carry a decision out twice, or in part.
func Plan(s State) Decision {
	p := &planner{State: s}
	for _, m := range s.Members {
		p.add(m, false)
	}
	p.adopt()
	if s.Group.Deleting {
		p.endAll()
	} else {
		p.checkHealth()
		p.expire()
		p.refresh()
		p.size()
		p.pool()
	}
	for _, m := range p.members {
		p.tag(m)
		p.advance(m)
	}
	p.register()
	return p.decision()
}

func (p *planner) add(m autoscaling.Member, isNew bool) *member {
	m.Waits = slices.Clone(m.Waits)
	added := &member{Change: Change{Member: m, New: isNew}, was: m, instance: p.Instances[m.Instance]}
	added.Member = &added.Change.Member
	added.was.Waits = slices.Clone(m.Waits)
	p.members = append(p.members, added)
	return added
}

// adopt makes members of instances that carry the group's tag: between a launch
// and the record of it, the region may have been killed.
func (p *planner) adopt() {
	var ids []string
	for id, i := range p.Instances {
		known := slices.ContainsFunc(p.members, func(m *member) bool { return m.Instance == id })
		if !known && !(&member{instance: i}).ending() && i.Tags[GroupTag] == p.Group.Name {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		before := p.capacity()
		m := p.add(p.Source.member(p.Group, p.Instances[id], p.Now), true)
		m.Starts = &Activity{launching(id), autoscaling.Started(p.Now, before, before+m.weight())}
	}
}

// capacity is what counts of the group.
func (p *planner) capacity() int {
	n := 0
	for _, m := range p.members {
		if m.Counts() {
			n += m.weight()
		}
	}
	return n
}

// which are the members for which all conditions hold.
func (p *planner) which(conditions ...func(*member) bool) []*member {
	return slices.DeleteFunc(slices.Clone(p.members), func(m *member) bool {
		return slices.ContainsFunc(conditions, func(holds func(*member) bool) bool { return !holds(m) })
	})
}

func counts(m *member) bool      { return m.Counts() }
func inService(m *member) bool   { return m.State == autoscaling.InService && !m.Ending }
func warm(m *member) bool        { return m.Warm() && !m.Ending }
func unprotected(m *member) bool { return !m.Protected }

// end asks for a member's end.
func (p *planner) end(m *member, cause string) { m.Ending, m.Cause = true, cause }

// endAll ends what a group has that is being deleted.
func (p *planner) endAll() {
	for _, m := range p.members {
		if !m.Ending && m.State != autoscaling.Detaching {
			p.end(m, autoscaling.Cause(append(slices.Clone(p.Group.Reasons), autoscaling.Selected(p.Now, m.Instance))...))
		}
	}
	p.Removed = len(p.members) == 0
	for _, i := range p.Instances {
		p.Removed = p.Removed && i.State == ec2.Terminated
	}
}

// due asks for another look at a time.
func (p *planner) due(at time.Time) {
	if !at.IsZero() && (p.Wake.IsZero() || at.Before(p.Wake)) {
		p.Wake = at
	}
}

// suspends says that a process is suspended.
func (p *planner) suspends(process string) bool { return p.Group.Suspends(process) }

// decision leaves out what stays as it is.
func (p *planner) decision() Decision {
	for _, m := range p.members {
		if m.New || m.Gone || m.Starts != nil || m.Status != "" || m.Do != "" || !reflect.DeepEqual(m.was, *m.Member) {
			p.Changes = append(p.Changes, m.Change)
		}
	}
	return p.Decision
}

// sentence is what a member's Unhealthy says, as of now.
func sentence(now time.Time, what string) string {
	return autoscaling.Sentence(now, "%s", strings.TrimSuffix(what, "."))
}
