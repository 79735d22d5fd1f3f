package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/trail"
)

const (
	account = "000000000000"
	region  = "ap-northeast-2"
)

// noon is the time in all tests with a fixed clock.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The services: real tables, handlers of a few operations. Those that are
// missing have no method and panic.

type fakeSTS struct{ stsapi.Handler }

func (fakeSTS) GetCallerIdentity(ctx context.Context, _ *stsapi.GetCallerIdentityInput) (*stsapi.GetCallerIdentityOutput, error) {
	p := caller.From(ctx).Principal
	return &stsapi.GetCallerIdentityOutput{UserId: &p.UserID, Account: &p.Account, Arn: &p.ARN}, nil
}

func (fakeSTS) AssumeRoleWithWebIdentity(_ context.Context, in *stsapi.AssumeRoleWithWebIdentityInput) (*stsapi.AssumeRoleWithWebIdentityOutput, error) {
	if *in.WebIdentityToken == "bad" {
		return nil, stsapi.InvalidIdentityTokenException.New("The token is bad.")
	}
	return &stsapi.AssumeRoleWithWebIdentityOutput{
		Provider: new("https://oidc.example/id"), Audience: new("sts.amazonaws.com"), SubjectFromWebIdentityToken: new("system:serviceaccount:a:b"),
		Credentials: &stsapi.Credentials{AccessKeyId: new("ASIAX"), SecretAccessKey: new("s3cr3t"), SessionToken: new("t0ken"), Expiration: &noon},
	}, nil
}

func (fakeSTS) Authorization(context.Context, string, any) ([]policy.Request, error) { return nil, nil }

type fakeIAM struct{ iamapi.Handler }

func (fakeIAM) GetUser(_ context.Context, in *iamapi.GetUserInput) (*iamapi.GetUserOutput, error) {
	if api.Val(in.UserName) == "ghost" {
		return nil, iamapi.NoSuchEntityException.New("The user with name ghost cannot be found.")
	}
	return &iamapi.GetUserOutput{User: &iamapi.User{UserName: in.UserName, Path: new("/"), UserId: new("AIDAX"), Arn: new("arn:x"), CreateDate: &noon}}, nil
}

func (fakeIAM) CreateAccessKey(_ context.Context, in *iamapi.CreateAccessKeyInput) (*iamapi.CreateAccessKeyOutput, error) {
	return &iamapi.CreateAccessKeyOutput{AccessKey: &iamapi.AccessKey{
		UserName: in.UserName, AccessKeyId: new("AKIAX"), SecretAccessKey: new("s3cr3t"), Status: "Active", CreateDate: &noon,
	}}, nil
}

func (fakeIAM) ListUsers(context.Context, *iamapi.ListUsersInput) (*iamapi.ListUsersOutput, error) {
	return nil, errors.New("a cause that is nobody's business")
}

func (fakeIAM) Authorization(_ context.Context, operation string, input any) ([]policy.Request, error) {
	r := policy.Request{Action: "iam:" + operation}
	if in, ok := input.(*iamapi.GetUserInput); ok {
		r.Resources = []string{"arn:aws:iam::" + account + ":user/" + api.Val(in.UserName)}
		r.Context = map[string][]string{"aws:SourceIp": {"6.6.6.6"}, "iam:ResourceTag/team": {"blue"}}
	}
	return []policy.Request{r}, nil
}

type fakeEC2 struct{ ec2api.Handler }

func (fakeEC2) DescribeInstances(context.Context, *ec2api.DescribeInstancesInput) (*ec2api.DescribeInstancesOutput, error) {
	return &ec2api.DescribeInstancesOutput{Reservations: []ec2api.Reservation{{ReservationId: new("r-1"), Instances: []ec2api.Instance{{InstanceId: new("i-1")}}}}}, nil
}

func (fakeEC2) TerminateInstances(context.Context, *ec2api.TerminateInstancesInput) (*ec2api.TerminateInstancesOutput, error) {
	return nil, api.Errorf(400, "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist")
}

func (fakeEC2) Authorization(_ context.Context, operation string, input any) ([]policy.Request, error) {
	r := policy.Request{Action: "ec2:" + operation}
	if in, ok := input.(*ec2api.TerminateInstancesInput); ok {
		for _, id := range in.InstanceIds {
			r.Resources = append(r.Resources, "arn:aws:ec2:"+region+":"+account+":instance/"+id)
		}
	}
	return []policy.Request{r}, nil
}

type fakeEKS struct{ eksapi.Handler }

func (fakeEKS) DescribeCluster(_ context.Context, in *eksapi.DescribeClusterInput) (*eksapi.DescribeClusterOutput, error) {
	if *in.Name == "none" {
		return nil, eksapi.ResourceNotFoundException.New("No cluster found for name: none.")
	}
	return &eksapi.DescribeClusterOutput{Cluster: &eksapi.Cluster{Name: in.Name, Status: "ACTIVE", CreatedAt: &noon}}, nil
}

func (fakeEKS) Authorization(_ context.Context, operation string, _ any) ([]policy.Request, error) {
	return []policy.Request{{Action: "eks:" + operation, Resources: []string{"arn:aws:eks:" + region + ":" + account + ":cluster/c"}}}, nil
}

type fakeECR struct{ ecrapi.Handler }

func (fakeECR) DescribeRepositories(context.Context, *ecrapi.DescribeRepositoriesInput) (*ecrapi.DescribeRepositoriesOutput, error) {
	return &ecrapi.DescribeRepositoriesOutput{Repositories: []ecrapi.Repository{}}, nil
}

func (fakeECR) UploadLayerPart(_ context.Context, in *ecrapi.UploadLayerPartInput) (*ecrapi.UploadLayerPartOutput, error) {
	return &ecrapi.UploadLayerPartOutput{LastByteReceived: new(int64(len(in.LayerPartBlob) - 1))}, nil
}

func (fakeECR) Authorization(_ context.Context, operation string, _ any) ([]policy.Request, error) {
	return []policy.Request{{Action: "ecr:" + operation, Resources: []string{"arn:aws:ecr:" + region + ":" + account + ":repository/*"}}}, nil
}

type fakeELB struct{ elbapi.Handler }

func (fakeELB) DescribeLoadBalancers(context.Context, *elbapi.DescribeLoadBalancersInput) (*elbapi.DescribeLoadBalancersOutput, error) {
	return &elbapi.DescribeLoadBalancersOutput{LoadBalancerDescriptions: []elbapi.LoadBalancerDescription{}}, nil
}

func (fakeELB) Authorization(_ context.Context, operation string, _ any) ([]policy.Request, error) {
	return []policy.Request{{Action: "elasticloadbalancing:" + operation}}, nil
}

// elbv2 is a table of a service that shares its signing name with elb.
var elbv2 = func() *api.Service {
	s := *elbapi.Service
	s.Name, s.Version, s.Namespace = "elbv2", "2015-12-01", "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
	return &s
}()

func fakeServices() []Service {
	return []Service{
		{API: stsapi.Service, Handler: fakeSTS{}},
		{API: iamapi.Service, Handler: fakeIAM{}},
		{API: ec2api.Service, Handler: fakeEC2{}},
		{API: eksapi.Service, Handler: fakeEKS{}},
		{API: ecrapi.Service, Handler: fakeECR{}, MaxBody: 4 << 20},
		{API: elbapi.Service, Handler: fakeELB{}},
		{API: elbv2, Handler: fakeELB{}},
	}
}

// The callers. The access key of each is AKIA and its name, the secret its name.

func user(name string) caller.Caller {
	return caller.Caller{Principal: policy.Principal{
		Type: policy.User, ARN: "arn:aws:iam::" + account + ":user/" + name, Account: account, UserName: name, UserID: "AIDA" + name,
	}}
}

var root = caller.Caller{Principal: policy.Principal{
	Type: policy.Root, ARN: "arn:aws:iam::" + account + ":root", Account: account, UserID: account,
}}

var node = caller.Caller{
	Principal: policy.Principal{
		Type: policy.AssumedRole, ARN: "arn:aws:sts::" + account + ":assumed-role/node/i-1",
		RoleARN: "arn:aws:iam::" + account + ":role/node", Account: account, UserID: "AROAnode:i-1",
	},
	Session: &caller.Session{
		Issued: noon.Add(-time.Hour), IssuerARN: "arn:aws:iam::" + account + ":role/node", IssuerID: "AROAnode", IssuerName: "node", InstanceID: "i-1",
	},
}

// pod is a session by web identity.
var pod = caller.Caller{Principal: node.Principal, Session: &caller.Session{
	Issued: noon.Add(-time.Hour), IssuerARN: "arn:aws:iam::" + account + ":role/node", IssuerID: "AROAnode", IssuerName: "node",
	Provider: "arn:aws:iam::" + account + ":oidc-provider/oidc.example/id", Subject: "system:serviceaccount:a:b",
}}

type fakeCredentials struct {
	now func() time.Time

	mu       sync.Mutex        // guards the others
	policies map[string]string // documents by ARN of the caller; "" denies everything
	parsed   map[string]*policy.Policies
}

func allowAll() string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
}

func (f *fakeCredentials) Find(_ context.Context, id, token string) (Credential, error) {
	secret := sigv4.Secret{SecretAccessKey: strings.TrimPrefix(id, "AKIA")}
	found := caller.Caller{}
	switch id {
	case "AKIAroot":
		found = root
	case "AKIAalice", "AKIAbob":
		found = user(secret.SecretAccessKey)
	case "AKIAnode", "AKIApod", "AKIAold", "AKIAlimited", "AKIAsession":
		if token != "sealed" {
			return Credential{}, sigv4.ErrUnknownKey
		}
		found = node
		switch id {
		case "AKIApod":
			found = pod
		case "AKIAsession": // of GetSessionToken
			found = user("alice")
			found.Session = &caller.Session{Issued: f.now().Add(-time.Hour)}
		}
		secret.SessionToken, secret.Expires = token, f.now().Add(time.Hour)
		if id == "AKIAold" {
			secret.Expires = f.now().Add(-time.Hour)
		}
	case "AKIAbroken":
		return Credential{}, errors.New("the store is away")
	default:
		return Credential{}, fmt.Errorf("key %s: %w", id, sigv4.ErrUnknownKey)
	}
	out := Credential{Credential: caller.Credential{Secret: secret, Caller: found}}
	if id == "AKIAlimited" {
		out.SessionPolicies = []policy.Source{{ID: "session", Policy: parsed(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:*","Resource":"*"}]}`)}}
	}
	return out, nil
}

func parsed(document string) *policy.Policy {
	p, err := policy.Parse(policy.IdentityPolicy, document)
	if err != nil {
		panic(err)
	}
	return p
}

func (f *fakeCredentials) Policies(_ context.Context, c caller.Caller) (*policy.Policies, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	document := f.policies[c.Principal.ARN]
	p := f.parsed[document]
	if p == nil {
		p = &policy.Policies{}
		if document != "" {
			p.Identity = []policy.Source{{ID: "p", Policy: parsed(document)}}
		}
		if f.parsed == nil {
			f.parsed = map[string]*policy.Policies{}
		}
		f.parsed[document] = p
	}
	return p, nil
}

// records is a trail in memory.
type records struct {
	mu  sync.Mutex // guards all
	all []trail.Record
}

func (r *records) Add(rec trail.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
}

func (r *records) last(t testing.TB) trail.Record {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		t.Fatal("no call was recorded")
	}
	return r.all[len(r.all)-1]
}

// fake is a gateway with its parts.
type fake struct {
	*Gateway
	trail *records
	creds *fakeCredentials
	log   *bytes.Buffer
}

func newFake(t testing.TB, change func(*Config)) *fake {
	t.Helper()
	f := &fake{trail: &records{}, log: new(bytes.Buffer)}
	f.creds = &fakeCredentials{now: func() time.Time { return noon }, policies: map[string]string{
		user("alice").Principal.ARN: allowAll(),
		node.Principal.ARN:          allowAll(),
		user("bob").Principal.ARN:   `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"eks:*","Resource":"*"},{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}]}`,
	}}
	cfg := Config{
		Account: account, Region: region, Services: fakeServices(), Credentials: f.creds, Trail: f.trail,
		Version: "0.0.1-test", Now: f.creds.now, Logger: slog.New(slog.NewTextHandler(&locked{w: f.log}, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	f.creds.now = cfg.Now
	if f.creds.now == nil {
		f.creds.now = time.Now
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Gateway = g
	return f
}

type locked struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// sign signs a request as name; the key of a session comes with its token.
func sign(t testing.TB, r *http.Request, name, service, region string, at time.Time) {
	t.Helper()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Fatal(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	creds := aws.Credentials{AccessKeyID: "AKIA" + name, SecretAccessKey: name}
	switch name {
	case "node", "pod", "old", "limited", "session":
		creds.SessionToken = "sealed"
	}
	sum := sha256.Sum256(body)
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
}
