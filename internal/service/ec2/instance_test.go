package ec2_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

var equalAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// node is what makes an instance a node, with an address for each pod.
var node = ec2.Bootstrap{Cluster: "eks-work"}

func TestLaunch(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	tags := map[string]string{"Name": "a"}
	bootstrap := ec2.Bootstrap{Cluster: "eks-work", Nodegroup: "g", Labels: map[string]string{"a": "b"}, Taints: []ec2.Taint{{Key: "k", Effect: "NoSchedule"}}}
	made := run(t, s, ec2.LaunchInput{Type: "t3.medium", Subnet: home.ID, Count: 3, VolumeGiB: 80, Bootstrap: bootstrap, Tags: tags})
	tags["Name"] = "changed by the caller"
	if len(made) != 3 {
		t.Fatalf("%d instances, want 3", len(made))
	}
	macs := map[string]bool{}
	for _, i := range made {
		checkID(t, "i", i.ID)
		checkID(t, "eni", i.ENI)
		item := get(t, s, i.ID)
		if diff := cmp.Diff(i, item.Value, equalAddr); diff != "" {
			t.Errorf("what was returned is not what is kept: %s", diff)
		}
		eni, err := s.ENIs.Get(t.Context(), i.ENI)
		if err != nil {
			t.Fatal(err)
		}
		if eni.Revision != item.Revision {
			t.Errorf("%s and its interface were not written at once", i.ID)
		}
		if want := append([]netip.Addr{i.Address}, i.PodAddresses...); !slices.Equal(eni.Value.Addresses, want) {
			t.Errorf("the interface has %v, the instance %v", eni.Value.Addresses, want)
		}
		if eni.Value.Instance != i.ID || eni.Value.MAC != i.MAC || eni.Value.Subnet != home.ID || eni.Value.VPC != home.VPC {
			t.Errorf("interface %+v of %s", eni.Value, i.ID)
		}
		mac, err := net.ParseMAC(i.MAC)
		if err != nil || mac[0] != 0x06 || macs[i.MAC] {
			t.Errorf("MAC %q: %v", i.MAC, err)
		}
		macs[i.MAC] = true
		if i.State != ec2.Pending || i.Zone != home.Zone || i.VPC != home.VPC || i.Subnet != home.ID || i.VolumeGiB != 80 || i.Launched.IsZero() || !i.Ended.IsZero() {
			t.Errorf("%+v", i)
		}
		if i.Tags["Name"] != "a" {
			t.Error("the caller's tags are the instance's")
		}
		// t3.medium: 17 pods, each with an address.
		if i.Bootstrap.MaxPods != 17 || len(i.PodAddresses) != 17 {
			t.Errorf("%d pods with %d addresses, want 17", i.Bootstrap.MaxPods, len(i.PodAddresses))
		}
	}
	checkAddresses(t, s, home)

	few := bootstrap
	few.MaxPods = 5
	i := run(t, s, ec2.LaunchInput{Type: "t3.medium", Subnet: home.ID, Count: 1, Bootstrap: few})[0]
	if i.Bootstrap.MaxPods != 5 || len(i.PodAddresses) != 5 {
		t.Errorf("%d pods with %d addresses, want the 5 that were asked for", i.Bootstrap.MaxPods, len(i.PodAddresses))
	}
}

func TestLaunchRefuses(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/24") // 27 free addresses in a subnet
	var unknown *instancetype.UnknownError
	for _, test := range []struct {
		name  string
		in    ec2.LaunchInput
		check func(error) bool
	}{
		{"a type that does not exist", ec2.LaunchInput{Type: "t3.medum", Subnet: home.ID, Count: 1},
			func(err error) bool { return errors.As(err, &unknown) && slices.Contains(unknown.Near, "t3.medium") }},
		{"a subnet that does not exist", ec2.LaunchInput{Type: "t3.small", Subnet: "subnet-0", Count: 1},
			func(err error) bool { return errors.Is(err, store.ErrNotFound) }},
		{"no instance", ec2.LaunchInput{Type: "t3.small", Subnet: home.ID}, func(err error) bool { return err != nil }},
		// 12 addresses each: two would fit.
		{"more than the subnet holds", ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 3, Bootstrap: node},
			func(err error) bool { return errors.Is(err, subnet.ErrFull) }},
	} {
		instances, err := s.Launch(t.Context(), test.in)
		if !test.check(err) || instances != nil {
			t.Errorf("%s: %v, %v", test.name, instances, err)
		}
	}
	items, _, err := s.Instances.List(t.Context(), "")
	if err != nil || len(items) != 0 || len(enis(t, s)) != 0 {
		t.Errorf("a refused launch left %d instances and %d interfaces, %v", len(items), len(enis(t, s)), err)
	}
}

// Launches that run at once, and services' interfaces among them, share no
// address; when the subnet is full each says so, and gives nothing.
func TestAddressesNeverOverlap(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/20") // 507 free addresses in a subnet
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		ran  int
		full int
		kept int
	)
	for range 24 {
		wait.Go(func() {
			instances, err := s.Launch(t.Context(), ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 2, Bootstrap: node})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				ran += len(instances)
			case errors.Is(err, subnet.ErrFull):
				full++
			default:
				t.Error(err)
			}
		})
	}
	for range 8 {
		wait.Go(func() {
			_, err := s.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: home.ID, Description: "Amazon EKS", Requester: "amazon-eks"})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				kept++
			case !errors.Is(err, subnet.ErrFull):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	checkAddresses(t, s, home)
	taken := 0
	for _, item := range enis(t, s) {
		taken += len(item.Value.Addresses)
	}
	if want := 12*ran + kept; taken != want {
		t.Errorf("%d addresses are taken by %d instances and %d interfaces, want %d", taken, ran, kept, want)
	}
	if free := home.Network().Free() - taken; full == 0 || free >= 24 || free < 0 {
		t.Errorf("%d launches were refused with %d addresses free", full, free)
	}
}

func TestStates(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	terminate := func(id string) error { return s.Terminate(t.Context(), id, "told so") }
	running := func(id string) error { return s.MarkRunning(t.Context(), id) }
	terminated := func(id string) error { return s.MarkTerminated(t.Context(), id) }
	for _, test := range []struct {
		name   string
		steps  []func(string) error
		want   ec2.State
		reason string
		alive  bool
	}{
		{"new", nil, ec2.Pending, "", true},
		{"booted", []func(string) error{running}, ec2.Running, "", true},
		{"booted, and said twice", []func(string) error{running, running}, ec2.Running, "", true},
		{"told to end while pending", []func(string) error{terminate}, ec2.ShuttingDown, "told so", false},
		{"told to end while running", []func(string) error{running, terminate}, ec2.ShuttingDown, "told so", false},
		{"a boot that was late does not bring it back", []func(string) error{terminate, running}, ec2.ShuttingDown, "told so", false},
		{"ended", []func(string) error{terminate, terminated}, ec2.Terminated, "told so", false},
		{"ended, and said twice", []func(string) error{terminate, terminated, terminated}, ec2.Terminated, "told so", false},
		{"what has ended stays so", []func(string) error{terminate, terminated, terminate, running}, ec2.Terminated, "told so", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1})[0].ID
			for _, step := range test.steps {
				if err := step(id); err != nil {
					t.Fatal(err)
				}
			}
			i := get(t, s, id).Value
			if i.State != test.want || i.StateReason != test.reason || i.Alive() != test.alive || i.Ended.IsZero() == (test.want == ec2.Terminated) {
				t.Errorf("state %s (%s), alive %v, ended %s", i.State, i.StateReason, i.Alive(), i.Ended)
			}
			// The address is another's from the end on, not earlier.
			_, err := s.ENIs.Get(t.Context(), i.ENI)
			if freed := errors.Is(err, store.ErrNotFound); freed != (test.want == ec2.Terminated) {
				t.Errorf("in state %s its interface: %v", i.State, err)
			}
		})
	}
	for _, step := range []func(string) error{terminate, running, terminated} {
		if err := step("i-0"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an instance that does not exist: %v", err)
		}
	}
}

func TestTerminationFreesAddresses(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/24")
	in := ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 2, Bootstrap: node}
	id := run(t, s, in)[0].ID
	in.Count = 1
	if err := s.Terminate(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Launch(t.Context(), in); !errors.Is(err, subnet.ErrFull) {
		t.Errorf("the addresses of an instance that still ends were given away: %v", err)
	}
	if err := s.MarkTerminated(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	run(t, s, in)
	checkAddresses(t, s, home)
}

func TestPrivateDNSNames(t *testing.T) {
	for region, domain := range map[string]string{
		"ap-northeast-2": "ap-northeast-2.compute.internal",
		"us-east-1":      "ec2.internal",
		"us-east-2":      "us-east-2.compute.internal",
	} {
		s, home := withVPC(t, region, "192.168.0.0/16")
		i := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1})[0]
		a := i.Address.As4()
		if want := fmt.Sprintf("ip-%d-%d-%d-%d.%s", a[0], a[1], a[2], a[3], domain); i.PrivateDNSName != want {
			t.Errorf("%s: %s, want %s", region, i.PrivateDNSName, want)
		}
	}
}
