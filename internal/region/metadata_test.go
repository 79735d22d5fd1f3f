package region

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/imds"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// snapshot is what a follower would have seen.
func snapshot[T any](items map[string]T) store.Snapshot[T] {
	var s store.Snapshot[T]
	for key, v := range items {
		s.Items = append(s.Items, store.Item[T]{Key: key, Value: v})
	}
	return s
}

func TestMetadata(t *testing.T) {
	r := newRegion(t)
	n := &network{record: ec2.VPC{ID: "vpc-1", CIDR: netip.MustParsePrefix("192.168.0.0/16")}}
	subnets := snapshot(map[string]ec2.Subnet{"subnet-1": {ID: "subnet-1", CIDR: netip.MustParsePrefix("192.168.32.0/19")}})
	groups := snapshot(map[string]ec2.SecurityGroup{"sg-1": {ID: "sg-1", Name: "mine"}})
	launched := time.Date(2026, 11, 23, 8, 5, 6, 0, time.UTC)
	i := ec2.Instance{
		ID: "i-1", Type: "t3.medium", ImageID: "ami-1", Reservation: "r-1", LaunchIndex: 2, VPC: "vpc-1", Subnet: "subnet-1",
		Zone: "ap-northeast-2a", PrivateDNSName: "ip-192-168-32-10.ap-northeast-2.compute.internal", ENI: "eni-1", MAC: "06:00:00:00:00:01",
		Address: addr("192.168.32.10"), PodAddresses: []netip.Addr{addr("192.168.32.11")},
		SecurityGroups: []string{"sg-0", "sg-1"}, // the first was deleted since
		UserData:       []byte("#!/bin/sh\n\xff"), Tags: map[string]string{"Name": "x"}, Launched: launched, Spot: "sir-1",
		Metadata: ec2.MetadataOptions{Tokens: "required", HopLimit: 2, Endpoint: "enabled", Tags: "disabled"},
		Profile:  ec2.Profile{ARN: "arn:profile", ID: "AIPA1", Name: "p", RoleARN: "arn:aws:iam::000000000000:role/path/node"},
	}
	want := imds.Instance{
		ID: "i-1", Type: "t3.medium", ImageID: "ami-1", Architecture: "x86_64", AccountID: "000000000000", Region: "ap-northeast-2",
		AvailabilityZone: "ap-northeast-2a", AvailabilityZoneID: "apne2-az1", ReservationID: "r-1", LaunchIndex: 2, LifeCycle: "spot", PendingTime: launched,
		Interfaces: []imds.Interface{{
			ID: "eni-1", MAC: "06:00:00:00:00:01", PrivateDNSName: "ip-192-168-32-10.ap-northeast-2.compute.internal",
			Addresses: []netip.Addr{addr("192.168.32.10"), addr("192.168.32.11")}, SecurityGroups: []imds.SecurityGroup{{ID: "sg-1", Name: "mine"}},
			SubnetID: "subnet-1", SubnetCIDR: netip.MustParsePrefix("192.168.32.0/19"), VPCID: "vpc-1", VPCCIDRs: []netip.Prefix{n.record.CIDR},
		}},
		UserData: []byte("#!/bin/sh\n\xff"), Tags: map[string]string{"Name": "x"}, Profile: &imds.InstanceProfile{ARN: "arn:profile", ID: "AIPA1", Role: "node"},
		Options: imds.Options{HTTPEndpoint: "enabled", HTTPTokens: "required", HTTPPutResponseHopLimit: 2, InstanceMetadataTags: "disabled"},
	}
	if diff := cmp.Diff(want, r.metadata(n, i, subnets, groups), sameAddress); diff != "" {
		t.Error(diff)
	}
	bare := r.metadata(n, ec2.Instance{ID: "i-2", Address: addr("192.168.32.20")}, store.Snapshot[ec2.Subnet]{}, store.Snapshot[ec2.SecurityGroup]{})
	if bare.Profile != nil || bare.LifeCycle != "on-demand" || bare.UserData != nil || len(bare.Interfaces[0].Addresses) != 1 || bare.Interfaces[0].SubnetCIDR.IsValid() {
		t.Errorf("an instance with nothing: %+v", bare)
	}
}

// An instance gets the credentials of the role that its profile holds now.
func TestInstanceCredentials(t *testing.T) {
	r, ctx := newRegion(t), t.Context()
	arn, err := nodeProfiles{r}.EnsureInstanceProfile(ctx, "p", r.withRole(t, "node"))
	if err != nil {
		t.Fatal(err)
	}
	i := imds.Instance{ID: "i-0123456789abcdef0", Profile: &imds.InstanceProfile{ARN: arn, Role: "node"}}
	who := func() string {
		t.Helper()
		c, err := r.instanceCredentials(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.instanceCredentials(ctx, i); err != nil || again != c {
			t.Errorf("the second time others: %+v, %v", again, err)
		}
		if life := c.Expiration.Sub(c.LastUpdated); life != 6*time.Hour {
			t.Errorf("they last %v", life)
		}
		found, err := keyring{r.iam, r.sts}.Find(ctx, c.AccessKeyID, c.Token)
		if err != nil || found.Secret.SecretAccessKey != c.SecretAccessKey || found.Caller.Session.InstanceID != i.ID {
			t.Errorf("%+v, %v", found, err)
		}
		return found.Caller.Principal.ARN
	}
	if got := who(); got != "arn:aws:sts::000000000000:assumed-role/node/i-0123456789abcdef0" {
		t.Error(got)
	}
	r.withRole(t, "other")
	profile, role := "p", "node"
	call[iamapi.RemoveRoleFromInstanceProfileOutput](t, r, "iam", "RemoveRoleFromInstanceProfile", &iamapi.RemoveRoleFromInstanceProfileInput{InstanceProfileName: &profile, RoleName: &role})
	if c, err := r.instanceCredentials(ctx, i); err == nil || !strings.Contains(err.Error(), arn) {
		t.Errorf("of a profile without a role: %+v, %v", c, err)
	}
	role = "other"
	call[iamapi.AddRoleToInstanceProfileOutput](t, r, "iam", "AddRoleToInstanceProfile", &iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: &profile, RoleName: &role})
	if got := who(); got != "arn:aws:sts::000000000000:assumed-role/other/i-0123456789abcdef0" {
		t.Errorf("with another role: %s", got)
	}
	if err := (nodeProfiles{r}).DeleteInstanceProfile(ctx, "p"); err != nil {
		t.Fatal(err)
	}
	if c, err := r.instanceCredentials(ctx, i); err == nil {
		t.Errorf("of a profile that is gone: %+v", c)
	}
}

// served is a network whose resolver answers on loopback.
func (r *Region) served(t *testing.T) (*network, string) {
	t.Helper()
	n := &network{record: ec2.VPC{ID: "vpc-1", CIDR: netip.MustParsePrefix("192.168.0.0/16")}, dns: dns.New(dns.Config{Logger: r.logger})}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.ctx, n.end = r.background, r.stop
	r.runIn(n, "DNS", func(ctx context.Context) error { return n.dns.Serve(ctx, packets, streams) })
	t.Cleanup(func() {
		n.end()
		n.tasks.Wait()
	})
	return n, packets.LocalAddr().String()
}

// The metadata service knows who asks by any of its addresses; the resolver has
// a name for the primary one.
func TestAnnounce(t *testing.T) {
	r := newRegion(t)
	n, resolver := r.served(t)
	if got, ok := n.lookup(addr("192.168.32.10")); ok {
		t.Errorf("before anything is known: %+v", got)
	}
	item := func(id string, state ec2.State, vpc, first, pod string) ec2.Instance {
		return ec2.Instance{ID: id, Type: "t3.medium", State: state, VPC: vpc, Subnet: "subnet-2", Address: addr(first), PodAddresses: []netip.Addr{addr(pod)}}
	}
	now := surroundings{
		subnets: snapshot(map[string]ec2.Subnet{"subnet-2": {ID: "subnet-2", CIDR: netip.MustParsePrefix("192.168.32.0/19")}}),
		instances: snapshot(map[string]ec2.Instance{
			"i-1": item("i-1", ec2.Running, "vpc-1", "192.168.32.10", "192.168.32.11"),
			"i-2": item("i-2", ec2.Pending, "vpc-1", "192.168.32.20", "192.168.32.21"),
			"i-3": item("i-3", ec2.ShuttingDown, "vpc-1", "192.168.32.30", "192.168.32.31"),
			"i-4": item("i-4", ec2.Terminated, "vpc-1", "192.168.32.10", "192.168.32.11"), // had i-1's addresses before
			"i-5": item("i-5", ec2.Running, "vpc-2", "192.168.32.10", "192.168.32.50"),    // VPCs may overlap
			"i-6": item("i-6", ec2.Stopped, "vpc-1", "192.168.32.60", "192.168.32.61"),
		}),
	}
	if err := r.announce(n, now); err != nil {
		t.Fatal(err)
	}
	for address, id := range map[string]string{
		"192.168.32.10": "i-1", "192.168.32.11": "i-1", "192.168.32.20": "i-2", "192.168.32.21": "i-2",
		"192.168.32.30": "", "192.168.32.31": "", "192.168.32.50": "", "192.168.32.60": "", "192.168.32.61": "",
	} {
		if got, ok := n.lookup(addr(address)); got.ID != id || ok != (id != "") {
			t.Errorf("%s is %q, want %q", address, got.ID, id)
		}
	}
	if got, _ := n.lookup(addr("192.168.32.10")); got.Interfaces[0].SubnetCIDR.String() != "192.168.32.0/19" {
		t.Errorf("subnet %s", got.Interfaces[0].SubnetCIDR)
	}
	named := func(address string) bool {
		t.Helper()
		question := new(mdns.Msg).SetQuestion("ip-"+strings.ReplaceAll(address, ".", "-")+".ap-northeast-2.compute.internal.", mdns.TypeA)
		answer, _, err := new(mdns.Client).ExchangeContext(t.Context(), question, resolver)
		if err != nil {
			t.Fatal(err)
		}
		return len(answer.Answer) == 1 && answer.Answer[0].(*mdns.A).A.String() == address
	}
	for address, want := range map[string]bool{"192.168.32.10": true, "192.168.32.20": true, "192.168.32.11": false, "192.168.32.30": false, "192.168.32.60": false} {
		if got := named(address); got != want {
			t.Errorf("%s has a name: %v, want %v", address, got, want)
		}
	}
	// What is announced later replaces it.
	now.instances = snapshot(map[string]ec2.Instance{"i-6": item("i-6", ec2.Running, "vpc-1", "192.168.32.60", "192.168.32.61")})
	if err := r.announce(n, now); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.lookup(addr("192.168.32.10")); ok || named("192.168.32.10") || !named("192.168.32.60") {
		t.Error("the resolver and the metadata service know what was before")
	}
}
