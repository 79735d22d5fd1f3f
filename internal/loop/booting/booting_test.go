package booting

import (
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/service/ec2"
)

func TestDecide(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, test := range []struct {
		name   string
		in     ec2.Instance
		booted Booted
		want   Act
	}{
		{"new", ec2.Instance{State: ec2.Pending}, Booted{}, Boot},
		{"boot again when the state was not written", ec2.Instance{State: ec2.Pending}, Booted{Running: true}, Boot},
		{"running since a region before this one", ec2.Instance{State: ec2.Running}, Booted{}, Boot},
		{"running", ec2.Instance{State: ec2.Running}, Booted{Running: true}, Nothing},
		{"to be rebooted", ec2.Instance{State: ec2.Running, Reboots: 1}, Booted{Running: true}, Reboot},
		{"to be rebooted again", ec2.Instance{State: ec2.Running, Reboots: 3}, Booted{true, 2}, Reboot},
		{"rebooted", ec2.Instance{State: ec2.Running, Reboots: 2}, Booted{true, 2}, Nothing},
		{"rebooted before this region", ec2.Instance{State: ec2.Running, Reboots: 2}, Booted{}, Boot},
		{"to be rebooted before it runs", ec2.Instance{State: ec2.Pending, Reboots: 1}, Booted{}, Boot},
		{"stopping", ec2.Instance{State: ec2.Stopping}, Booted{Running: true}, Halt},
		{"stopping since a region before this one", ec2.Instance{State: ec2.Stopping}, Booted{}, Halt},
		{"stopping, and a reboot was asked for", ec2.Instance{State: ec2.Stopping, Reboots: 1}, Booted{Running: true}, Halt},
		{"stopped", ec2.Instance{State: ec2.Stopped}, Booted{}, Nothing},
		{"started again", ec2.Instance{State: ec2.Pending, Reboots: 1}, Booted{Reboots: 1}, Boot},
		{"ending", ec2.Instance{State: ec2.ShuttingDown}, Booted{Running: true}, End},
		{"ending since a region before this one", ec2.Instance{State: ec2.ShuttingDown}, Booted{}, End},
		{"just ended", ec2.Instance{State: ec2.Terminated, Ended: now.Add(-time.Minute)}, Booted{}, Nothing},
		{"ended long ago", ec2.Instance{State: ec2.Terminated, Ended: now.Add(-time.Hour)}, Booted{}, Forget},
	} {
		if got := Decide(test.in, test.booted, now); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
