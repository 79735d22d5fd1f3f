package route53_test

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"
	"github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/service/route53"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account  = "111122223333"
	region   = "ap-northeast-2"
	elbZone  = "ZWKZPGTI48KDX"
	elbName  = "lake-123.ap-northeast-2.elb.amazonaws.com"
	firstVPC = "vpc-0123456789abcdef0"
	nextVPC  = "vpc-0123456789abcdef1"
)

// fixture is AWS's own client of a service, over HTTP, without signatures. It
// stands for what the service asks of others.
type fixture struct {
	*sdk.Client
	*testing.T
	service *route53.Service
	now     time.Time
	applied atomic.Int64
	answers func(route53.Question) (int, []dns.RR, error)
	seen    []route53.Observation
}

func (f *fixture) Applied() int64 { return f.applied.Load() }

func (f *fixture) VPCExists(_ context.Context, id string) (bool, error) {
	return id == firstVPC || id == nextVPC, nil
}

func (f *fixture) LoadBalancerExists(_ context.Context, name string) (bool, error) {
	return name == elbName, nil
}

func (f *fixture) Observations(context.Context, string) (last, failures []route53.Observation, err error) {
	return f.seen, f.seen[:len(f.seen)/2], nil
}

func (f *fixture) Ranges() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

func (f *fixture) Answer(_ context.Context, q route53.Question) (int, []dns.RR, error) {
	return f.answers(q)
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, now: time.Date(2026, 11, 23, 1, 2, 3, 456789000, time.UTC)}
	f.service = route53.New(route53.Config{
		Client: storetest.Open(t).Client(), Account: account, Region: region,
		Applied: f, Network: f, LoadBalancers: f, Checker: f, Answerer: f, Now: func() time.Time { return f.now },
	})
	cfg := wiretest.Serve(t, wire.Config{API: route53api.Service}, f.service, "us-east-1")
	f.Client = sdk.NewFromConfig(cfg)
	return f
}

// zone makes a public zone and returns its id.
func (f *fixture) zone(name string) string {
	f.Helper()
	out, err := f.CreateHostedZone(f.Context(), &sdk.CreateHostedZoneInput{Name: &name, CallerReference: new(name + f.now.String() + f.Name())})
	if err != nil {
		f.Fatal(err)
	}
	return id(out.HostedZone.Id)
}

// id is the last part of an id.
func id(s *string) string { return (*s)[strings.LastIndexByte(*s, '/')+1:] }

func change(action types.ChangeAction, set types.ResourceRecordSet) types.Change {
	return types.Change{Action: action, ResourceRecordSet: &set}
}

func set(name, typ string, values ...string) types.ResourceRecordSet {
	s := types.ResourceRecordSet{Name: &name, Type: types.RRType(typ), TTL: new(int64(60))}
	for _, v := range values {
		s.ResourceRecords = append(s.ResourceRecords, types.ResourceRecord{Value: &v})
	}
	return s
}

func alias(name, typ, zone, target string) types.ResourceRecordSet {
	return types.ResourceRecordSet{Name: &name, Type: types.RRType(typ), AliasTarget: &types.AliasTarget{HostedZoneId: &zone, DNSName: &target}}
}

// with edits a record set.
func with(s types.ResourceRecordSet, id string, edit func(*types.ResourceRecordSet)) types.ResourceRecordSet {
	s.SetIdentifier = &id
	edit(&s)
	return s
}

func (f *fixture) change(zone string, changes ...types.Change) (*types.ChangeInfo, error) {
	out, err := f.ChangeResourceRecordSets(f.Context(), &sdk.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: &types.ChangeBatch{Changes: changes}})
	if err != nil {
		return nil, err
	}
	return out.ChangeInfo, nil
}

func (f *fixture) must(zone string, changes ...types.Change) *types.ChangeInfo {
	f.Helper()
	info, err := f.change(zone, changes...)
	if err != nil {
		f.Fatal(err)
	}
	return info
}

// list writes the record sets of a zone: type, name, set identifier, values.
func (f *fixture) list(zone string) []string {
	f.Helper()
	out, err := f.ListResourceRecordSets(f.Context(), &sdk.ListResourceRecordSetsInput{HostedZoneId: &zone})
	if err != nil {
		f.Fatal(err)
	}
	return lines(out.ResourceRecordSets)
}

func lines(sets []types.ResourceRecordSet) (all []string) {
	for _, s := range sets {
		line := *s.Name + " " + string(s.Type)
		if s.SetIdentifier != nil {
			line += " " + *s.SetIdentifier
		}
		for _, r := range s.ResourceRecords {
			line += " " + *r.Value
		}
		if s.AliasTarget != nil {
			line += " -> " + *s.AliasTarget.DNSName
		}
		all = append(all, line)
	}
	return all
}

// own takes a zone's own records away.
func own(all []string, zone string) []string {
	return slices.DeleteFunc(all, func(line string) bool {
		return strings.HasPrefix(line, zone+" NS ") || strings.HasPrefix(line, zone+" SOA ")
	})
}

// fails checks an error's code and words.
func fails(t testing.TB, what string, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("%s: %v\nwant %s: %s", what, err, code, message)
	}
}

// newInput is an empty request.
func newInput(op api.Operation) any { return reflect.New(op.Input).Interface() }
