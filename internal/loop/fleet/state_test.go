package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// of is a member's short form: "i-1 a InService", and words that say more of it.
// Its instance runs, unless one of the words is a state of EC2's.
func of(s *State, text string) {
	words := strings.Fields(text)
	id, zone := words[0], words[1]
	m := autoscaling.Member{
		Group: "g", Instance: id, Type: "t3.small", Zone: zone, Subnet: "subnet-" + zone, State: autoscaling.State(words[2]),
		Since: now.Add(-time.Hour), Healthy: true, Template: "lt-1", Version: "1",
	}
	i := ec2.Instance{ID: id, State: ec2.Running, Launched: now.Add(-time.Hour), Zone: zone, Subnet: m.Subnet, Type: m.Type, Tags: map[string]string{GroupTag: "g"}}
	if m.State == autoscaling.InService {
		m.InService = m.Since
	}
	missing := false
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "pending", "running", "shutting-down", "terminated", "stopping", "stopped":
			i.State = ec2.State(key)
		case "gone":
			missing = true
		case "protected":
			m.Protected = true
		case "unhealthy":
			m.Healthy, m.Unhealthy = false, "an instance was taken out of service in response to a user health-check."
		case "ending":
			m.Ending, m.Cause = true, "somebody said so"
		case "spot":
			i.Spot = "sir-1"
		case "untagged":
			i.Tags = nil
		case "age":
			age, err := time.ParseDuration(value)
			if err != nil {
				panic(err)
			}
			i.Launched, m.Since = now.Add(-age), now.Add(-age)
			if !m.InService.IsZero() {
				m.InService = m.Since
			}
		case "version":
			m.Version = value
		case "template":
			m.Template = value
		case "configuration":
			m.Configuration, m.Template, m.Version = value, "", ""
		case "weight":
			fmt.Sscan(value, &m.Weight)
		case "type":
			m.Type, i.Type = value, value
		case "served":
			m.InService = now.Add(-30 * time.Minute)
		default:
			panic(word)
		}
	}
	s.Members = append(s.Members, m)
	if !missing {
		s.Instances[id] = i
	}
}

// state is a group in three zones of what the texts say.
func state(g autoscaling.Group, members ...string) State {
	g.Name = "g"
	g.Max = cmp.Or(g.Max, 100)
	if g.Subnets == nil {
		g.Subnets = []string{"subnet-a", "subnet-b", "subnet-c"}
	}
	s := State{
		Now: now, Group: g, Instances: map[string]ec2.Instance{},
		Zones:  map[string]string{"subnet-a": "a", "subnet-b": "b", "subnet-c": "c"},
		Source: Source{Origin: Origin{Template: "lt-1", Version: "1"}, Choices: []Choice{{Origin: Origin{Template: "lt-1", Version: "1"}, Type: "t3.small"}}},
	}
	for _, text := range members {
		of(&s, text)
	}
	return s
}

// told is a decision in short: what is launched, and what changes.
func told(d Decision) []string {
	var list []string
	for _, l := range d.Launch {
		text := fmt.Sprintf("launch %d in %s", l.Count, l.Subnet)
		if l.Spot {
			text += " spot"
		}
		if l.Warm {
			text += " warm"
		}
		list = append(list, text)
	}
	for _, c := range d.Changes {
		text := fmt.Sprintf("%s %s", c.Member.Instance, c.Member.State)
		switch {
		case c.Gone:
			text += " gone"
		case c.New:
			text += " new"
		}
		if c.Do != "" {
			text += ", " + string(c.Do)
		}
		list = append(list, text)
	}
	for name, ids := range d.Register {
		list = append(list, fmt.Sprint("register ", name, ids))
	}
	for name, ids := range d.Deregister {
		list = append(list, fmt.Sprint("deregister ", name, ids))
	}
	for _, name := range d.Left {
		list = append(list, "left "+name)
	}
	if d.Removed {
		list = append(list, "removed")
	}
	slices.Sort(list)
	return list
}

func sized(n int) autoscaling.Group { return autoscaling.Group{Desired: n} }

func serving(s State) int {
	n := 0
	for _, m := range s.Members {
		if m.State == autoscaling.InService && !m.Ending && s.Instances[m.Instance].State == ec2.Running {
			n++
		}
	}
	return n
}

// run carries out plans, as the loop and EC2 do, until nothing changes any more,
// not even by waiting, or not before a time.
func run(t *testing.T, s *State, check func(State), until ...time.Time) {
	t.Helper()
	for step := 0; ; step++ {
		if step > 300 {
			t.Fatalf("no end: %+v", s.Members)
		}
		d := Plan(*s)
		check(*s)
		if !carry(s, d, step) {
			if d.Wake.IsZero() || len(until) > 0 && d.Wake.After(until[0]) {
				return
			}
			s.Now = d.Wake
		}
	}
}

func carry(s *State, d Decision, step int) (changed bool) {
	changed = len(d.Launch) > 0 || len(d.Changes) > 0
	for id, i := range s.Instances { // what was begun ends
		switch i.State {
		case ec2.Pending:
			i.State, changed = ec2.Running, true
		case ec2.ShuttingDown:
			i.State, changed = ec2.Terminated, true
		case ec2.Stopping:
			i.State, changed = ec2.Stopped, true
		}
		s.Instances[id] = i
	}
	for _, c := range d.Changes {
		at := slices.IndexFunc(s.Members, func(m autoscaling.Member) bool { return m.Instance == c.Member.Instance })
		if at >= 0 {
			s.Members = slices.Delete(s.Members, at, at+1)
		}
		if !c.Gone {
			s.Members = append(s.Members, c.Member)
		}
		i := s.Instances[c.Member.Instance]
		switch c.Do {
		case Terminate:
			i.State = ec2.ShuttingDown
		case Stop:
			i.State = ec2.Stopping
		case Start:
			i.State = ec2.Pending
		}
		s.Instances[c.Member.Instance] = i
	}
	for n, l := range d.Launch {
		for k := range l.Count {
			zone := s.Zones[l.Subnet]
			i := ec2.Instance{ID: fmt.Sprintf("i-new-%d-%d-%d", step, n, k), State: ec2.Pending, Zone: zone, Subnet: l.Subnet, Type: "t3.small", Launched: s.Now, Tags: map[string]string{
				GroupTag: "g", templateTag: s.Source.Template, versionTag: s.Source.Version,
			}}
			s.Instances[i.ID] = i
			m := s.Source.member(s.Group, i, s.Now)
			if l.Warm {
				m.State = autoscaling.WarmedPending
			}
			s.Members = append(s.Members, m)
		}
	}
	if d.Refresh != nil && s.Refresh != nil {
		before := *s.Refresh
		if s.Refresh = d.Refresh; !s.Refresh.Active() {
			s.Refresh = nil
		}
		changed = changed || !gocmp.Equal(before, *d.Refresh)
	}
	return changed
}
