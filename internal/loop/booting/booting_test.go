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
		booted bool
		want   Act
	}{
		{"new", ec2.Instance{State: ec2.Pending}, false, Boot},
		{"boot again when the state was not written", ec2.Instance{State: ec2.Pending}, true, Boot},
		{"running since a region before this one", ec2.Instance{State: ec2.Running}, false, Boot},
		{"running", ec2.Instance{State: ec2.Running}, true, Nothing},
		{"ending", ec2.Instance{State: ec2.ShuttingDown}, true, End},
		{"ending since a region before this one", ec2.Instance{State: ec2.ShuttingDown}, false, End},
		{"just ended", ec2.Instance{State: ec2.Terminated, Ended: now.Add(-time.Minute)}, false, Nothing},
		{"ended long ago", ec2.Instance{State: ec2.Terminated, Ended: now.Add(-time.Hour)}, false, Forget},
	} {
		if got := Decide(test.in, test.booted, now); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
