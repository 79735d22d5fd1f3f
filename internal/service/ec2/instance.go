package ec2

import (
	"context"
	"net/netip"
	"time"

	"github.com/tarn-eks/tarn/internal/store"
)

// State is an instance's state, in EC2's words.
type State string

// States of an instance.
const (
	Pending      State = "pending"
	Running      State = "running"
	ShuttingDown State = "shutting-down"
	Terminated   State = "terminated"
	Stopping     State = "stopping"
	Stopped      State = "stopped"
)

// Taint is a Kubernetes taint.
type Taint struct{ Key, Value, Effect string }

// Bootstrap is what an EKS node's user data tells it. Without a cluster the
// instance is none's node: it runs without kubelet.
type Bootstrap struct {
	Cluster    string
	Nodegroup  string
	Labels     map[string]string
	Taints     []Taint
	MaxPods    int
	ClusterDNS netip.Addr // of a kubelet told so; invalid: the cluster's own
}

// MetadataOptions say how the instance metadata service answers the instance.
// What is empty is as EC2 has it for the image: see withDefaults.
type MetadataOptions struct {
	Tokens   string // "required" (IMDSv2) or "optional"
	HopLimit int    // of the replies to PUT, 1 to 64
	Endpoint string // "enabled" or "disabled"
	Tags     string // instance tags in metadata: "enabled" or "disabled"
	IPv6     string // "enabled" or "disabled"
}

// RootVolume is what an instance's root device is made of, besides its size.
type RootVolume struct {
	ID         string
	Type       string // gp3
	IOPS       int    // 0: a type that has no number
	Throughput int    // MiB/s, gp3 only
	Encrypted  bool
	Tags       map[string]string
}

// Instance is an EC2 instance.
type Instance struct {
	ID             string
	Type           string
	ImageID        string
	Reservation    string // r-…, of the call that launched it
	LaunchIndex    int    // within the reservation
	ClientToken    string
	Owner          string // the service that launched it on its own behalf
	Spot           string // spot instance request, sir-…; empty: on demand
	VPC            string
	Subnet         string
	Zone           string
	PrivateDNSName string
	ENI            string
	Attachment     string // of the ENI, eni-attach-…
	MAC            string
	Address        netip.Addr   // primary private address
	PodAddresses   []netip.Addr // secondary private addresses
	SecurityGroups []string
	NoDestCheck    bool // sourceDestCheck is off
	VolumeGiB      int
	Volume         RootVolume
	Bootstrap      Bootstrap
	UserData       []byte
	KeyName        string
	Metadata       MetadataOptions
	// Profile is the instance profile as it was when it was associated, empty for
	// none. Which role is in it now is IAM's to say.
	Profile            Profile
	ProfileAssociation string // iip-assoc-…
	ProfileSince       time.Time

	Monitoring         bool // detailed
	EBSOptimized       bool
	DisableTermination bool
	DisableStop        bool
	OnShutdown         string // instanceInitiatedShutdownBehavior; "" is stop

	Tags map[string]string

	State State
	// StateReason is why it is being ended or stopped, or was; Transition is what
	// EC2 shows of it, with the time.
	StateReason string
	Transition  string
	Created     time.Time // first launched
	Launched    time.Time // last started
	Ran         time.Time // reached running
	Ended       time.Time // when it was terminated
	// Reboots counts the reboots that were asked for.
	Reboots int
}

// Alive says that the instance runs or will.
func (i Instance) Alive() bool { return i.State == Pending || i.State == Running }

// gone says that only a memory of the instance is left.
func (i Instance) gone() bool { return i.State == Terminated }

// userInitiated is EC2's word for why an instance ends or stops.
func (s *Service) userInitiated() string {
	return "User initiated (" + s.now().Format("2006-01-02 15:04:05") + " GMT)"
}

// Terminate asks for an instance's end, whatever protects it from the API. One
// that has ended or is about to is left as it is. Error: store.ErrNotFound.
func (s *Service) Terminate(ctx context.Context, id, reason string) error {
	_, err := s.changeInstances(ctx, []string{id}, func(i *Instance) error {
		s.terminate(i, reason)
		return nil
	})
	return err
}

// Stop asks for a running instance to halt with its disk and addresses kept. One
// that does not run is left as it is. Error: store.ErrNotFound.
func (s *Service) Stop(ctx context.Context, id, reason string) error {
	_, err := s.changeInstances(ctx, []string{id}, func(i *Instance) error {
		s.stop(i, reason)
		return nil
	})
	return err
}

// Start asks for a stopped instance to run again. One that is not stopped is left
// as it is. Error: store.ErrNotFound.
func (s *Service) Start(ctx context.Context, id string) error {
	_, err := s.changeInstances(ctx, []string{id}, func(i *Instance) error {
		s.start(i)
		return nil
	})
	return err
}

func (s *Service) terminate(i *Instance, reason string) {
	if i.State != ShuttingDown && i.State != Terminated {
		i.State, i.StateReason, i.Transition = ShuttingDown, reason, s.userInitiated()
	}
}

func (s *Service) stop(i *Instance, reason string) {
	if i.State == Running {
		i.State, i.StateReason, i.Transition = Stopping, reason, s.userInitiated()
	}
}

func (s *Service) start(i *Instance) {
	if i.State == Stopped {
		i.State, i.StateReason, i.Transition, i.Launched = Pending, "", "", s.now()
	}
}

// MarkRunning notes that a pending instance runs.
func (s *Service) MarkRunning(ctx context.Context, id string) error {
	_, err := s.Instances.Modify(ctx, id, func(i *Instance) error {
		if i.State == Pending {
			i.State, i.Ran = Running, s.now()
		}
		return nil
	})
	return err
}

// MarkStopped notes that a stopping instance has halted. It keeps its disk and its
// addresses.
func (s *Service) MarkStopped(ctx context.Context, id string) error {
	_, err := s.Instances.Modify(ctx, id, func(i *Instance) error {
		if i.State == Stopping {
			i.State = Stopped
		}
		return nil
	})
	return err
}

// MarkTerminated notes that an instance has ended, and frees its addresses.
func (s *Service) MarkTerminated(ctx context.Context, id string) error {
	return retry(func() error {
		item, err := s.Instances.Get(ctx, id)
		if err != nil || item.Value.gone() {
			return err
		}
		item.Value.State, item.Value.Ended = Terminated, s.now()
		ops := []store.Op{s.Instances.UpdateOp(item)}
		eni, err := s.ENIs.Get(ctx, item.Value.ENI)
		switch {
		case err == nil:
			ops = append(ops, s.ENIs.DeleteOp(eni))
		case !isNotFound(err):
			return err
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return err
	})
}

// change is an instance before and after a call.
type change struct{ before, after Instance }

// changeInstances edits instances, all of them or none: an error of edit is
// returned as it is. Those that stay the same are not written.
func (s *Service) changeInstances(ctx context.Context, ids []string, edit func(*Instance) error) ([]change, error) {
	var changes []change
	err := retry(func() error {
		changes = nil
		var ops []store.Op
		seen := map[string]bool{}
		for _, id := range ids {
			if seen[id] {
				continue
			}
			seen[id] = true
			item, err := s.Instances.Get(ctx, id)
			if err != nil {
				return err
			}
			before := item.Value
			if err := edit(&item.Value); err != nil {
				return err
			}
			changes = append(changes, change{before, item.Value})
			if before.State != item.Value.State || before.Reboots != item.Value.Reboots {
				ops = append(ops, s.Instances.UpdateOp(item))
			}
		}
		if len(ops) == 0 {
			return nil
		}
		_, err := store.Commit(ctx, s.client, ops...)
		return err
	})
	return changes, err
}
