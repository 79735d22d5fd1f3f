package ec2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// isNotFound tells the store's word for what does not exist.
func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// retry calls f again for as long as somebody else is faster.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// LaunchInput describes instances to launch. All but Type, Subnet and Count may
// be zero.
type LaunchInput struct {
	Type           string
	Subnet         string
	Count          int
	Least          int        // how many are enough when the subnet is nearly full; 0 is Count
	Address        netip.Addr // the primary address, if it shall be a certain one; Count must be 1
	SecurityGroups []string   // none: the VPC's default one
	ImageID        string     // "": the newest EKS-optimized image
	VolumeGiB      int        // 0: as large as the image
	Volume         RootVolume // Type "": gp3
	Profile        string     // name or ARN of an instance profile
	KeyName        string
	UserData       []byte
	Metadata       MetadataOptions
	Bootstrap      Bootstrap
	Spot           bool
	Owner          string // the service that launches on its own behalf: autoscaling
	NoDestCheck    bool
	Monitoring     bool
	EBSOptimized   bool
	// DisableTermination and DisableStop protect from calls of the API.
	DisableTermination, DisableStop bool
	OnShutdown                      string // "stop" or "terminate"
	Tags                            map[string]string
	InterfaceTags                   map[string]string
	InterfaceDescription            string

	clientToken string
}

// Launch writes new instances in state pending, each with one network interface
// that has the addresses of its pods too. All of them are made or none is. Errors:
// *instancetype.UnknownError, store.ErrNotFound (subnet, group, profile),
// subnet.ErrFull.
func (s *Service) Launch(ctx context.Context, in LaunchInput) ([]Instance, error) {
	s.allocating.Lock()
	defer s.allocating.Unlock()
	return s.launch(ctx, in, nil)
}

// launch is Launch with s.allocating held. remember gives more operations for the
// commit, once the instances' ids are known.
func (s *Service) launch(ctx context.Context, in LaunchInput, remember func(ids ...string) []store.Op) ([]Instance, error) {
	t, err := instancetype.Lookup(in.Type)
	if err != nil {
		return nil, err
	}
	if in.Count < 1 {
		return nil, errors.New("launching instances: at least one must be asked for")
	}
	home, err := s.Subnets.Get(ctx, in.Subnet)
	if err != nil {
		return nil, fmt.Errorf("launching instances: %w", err)
	}
	image, err := s.image(in.ImageID)
	if err != nil {
		return nil, err
	}
	var profile Profile
	if in.Profile != "" {
		if profile, err = s.profile(ctx, in.Profile); err != nil {
			return nil, fmt.Errorf("launching instances: %w", err)
		}
	}
	if len(in.SecurityGroups) == 0 {
		g, err := s.defaultGroup(ctx, home.Value.VPC)
		if err != nil {
			return nil, fmt.Errorf("launching instances: %w", err)
		}
		in.SecurityGroups = []string{g.ID}
	}
	if in.Bootstrap.MaxPods == 0 {
		in.Bootstrap.MaxPods = t.MaxPods()
	}
	taken, err := s.takenAddresses(ctx, home.Value.VPC)
	if err != nil {
		return nil, err
	}
	var (
		instances   []Instance
		ids         []string
		ops         []store.Op
		reservation = newID("r")
	)
	for n := range in.Count {
		eni, err := s.instanceENI(in, home.Value, taken)
		if errors.Is(err, subnet.ErrFull) && in.Least > 0 && n >= in.Least {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("launching instances: %w", err)
		}
		if n == 0 {
			ops = s.uses(eni)
		}
		i := s.newInstance(in, image, eni)
		i.Reservation, i.LaunchIndex = reservation, n
		if profile.ARN != "" {
			i.associate(profile, s.now())
		}
		eni.Instance, eni.Attachment, eni.Attached = i.ID, i.Attachment, i.Created
		instances, ids = append(instances, i), append(ids, i.ID)
		ops = append(ops, s.Instances.CreateOp(i.ID, i), s.ENIs.CreateOp(eni.ID, eni))
	}
	if remember != nil {
		ops = append(ops, remember(ids...)...)
	}
	if _, err := store.Commit(ctx, s.client, ops...); err != nil {
		return nil, fmt.Errorf("launching instances: %w", err)
	}
	return instances, nil
}

// instanceENI makes an instance's network interface, with an address for every
// pod: on EKS two of the pods that a type allows (aws-node, kube-proxy) use the
// host's, but here they are no pods. An instance without a cluster has no pods.
func (s *Service) instanceENI(in LaunchInput, home Subnet, taken map[netip.Addr]bool) (NetworkInterface, error) {
	addresses := 1
	if in.Bootstrap.Cluster != "" {
		addresses += in.Bootstrap.MaxPods
	}
	if in.Address.IsValid() {
		taken[in.Address] = true
		addresses--
	}
	eni, err := s.newENI(home, taken, addresses)
	if err != nil {
		return NetworkInterface{}, err
	}
	if in.Address.IsValid() {
		eni.Addresses = append([]netip.Addr{in.Address}, eni.Addresses...)
	}
	eni.SecurityGroups = slices.Clone(in.SecurityGroups)
	eni.NoDestCheck, eni.Description = in.NoDestCheck, in.InterfaceDescription
	eni.Tags = maps.Clone(in.InterfaceTags)
	return eni, nil
}

func (s *Service) newInstance(in LaunchInput, image Image, eni NetworkInterface) Instance {
	now := s.now()
	i := Instance{
		ID:             newID("i"),
		Type:           in.Type,
		ImageID:        image.ID,
		ClientToken:    in.clientToken,
		Owner:          in.Owner,
		VPC:            eni.VPC,
		Subnet:         eni.Subnet,
		Zone:           eni.Zone,
		PrivateDNSName: s.privateDNSName(eni.Addresses[0]),
		ENI:            eni.ID,
		Attachment:     newID("eni-attach"),
		MAC:            eni.MAC,
		Address:        eni.Addresses[0],
		PodAddresses:   eni.Addresses[1:],
		SecurityGroups: eni.SecurityGroups,
		NoDestCheck:    in.NoDestCheck,
		VolumeGiB:      cmp.Or(in.VolumeGiB, image.VolumeGiB),
		Volume:         in.Volume.withDefaults(cmp.Or(in.VolumeGiB, image.VolumeGiB)),
		Bootstrap:      in.Bootstrap,
		UserData:       in.UserData,
		KeyName:        in.KeyName,
		Metadata:       in.Metadata.withDefaults(),
		Monitoring:     in.Monitoring,
		EBSOptimized:   in.EBSOptimized,
		OnShutdown:     in.OnShutdown,
		Tags:           maps.Clone(in.Tags),
		State:          Pending,
		Created:        now,
		Launched:       now,

		DisableTermination: in.DisableTermination,
		DisableStop:        in.DisableStop,
	}
	if in.Spot {
		i.Spot = "sir-" + newID("")[1:][:8]
	}
	i.Volume.ID = newID("vol")
	return i
}

// withDefaults fills in what the EKS-optimized images say: IMDSv2 only, two hops
// so that pods may ask too.
func (m MetadataOptions) withDefaults() MetadataOptions {
	return MetadataOptions{
		Tokens:   cmp.Or(m.Tokens, "required"),
		HopLimit: cmp.Or(m.HopLimit, 2),
		Endpoint: cmp.Or(m.Endpoint, "enabled"),
		Tags:     cmp.Or(m.Tags, "disabled"),
		IPv6:     cmp.Or(m.IPv6, "disabled"),
	}
}

// withDefaults fills in what EC2 gives a volume of the type and size.
// https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html
func (v RootVolume) withDefaults(gib int) RootVolume {
	v.Type = cmp.Or(v.Type, "gp3")
	switch v.Type {
	case "gp3":
		v.IOPS, v.Throughput = cmp.Or(v.IOPS, 3000), cmp.Or(v.Throughput, 125)
	case "gp2":
		v.IOPS = max(100, min(16000, 3*gib))
	}
	v.Tags = maps.Clone(v.Tags)
	return v
}

// privateDNSName is an instance's IP-based name, and its node's. Listing instances
// asks for thousands.
func (s *Service) privateDNSName(a netip.Addr) string {
	b := make([]byte, 0, 64)
	b = append(b, "ip-"...)
	for n, part := range a.As4() {
		if n > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(part), 10)
	}
	if s.region == "us-east-1" {
		return string(append(b, ".ec2.internal"...))
	}
	b = append(append(b, '.'), s.region...)
	return string(append(b, ".compute.internal"...))
}
