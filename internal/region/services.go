package region

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	taggingapi "github.com/tarn-eks/tarn/internal/api/tagging"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/gateway"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/ecr"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/service/iam"
	"github.com/tarn-eks/tarn/internal/service/sts"
	"github.com/tarn-eks/tarn/internal/service/tagging"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/trail"
)

// ecrMaxBody is for layers: clients send them in parts of up to 20 MB, in base64.
const ecrMaxBody = 32 << 20

// openServices makes the AWS services on the store.
func (r *Region) openServices(ctx context.Context) error {
	client, id := r.store.Client(), r.identity
	r.iam = iam.New(iam.Config{Client: client, Account: id.Account, Region: id.Region, Logger: r.logger})
	root, secret, err := r.iam.EnsureRootKey(ctx)
	if err != nil {
		return fmt.Errorf("making the root user's access key: %w", err)
	}
	r.root = rootCaller(r.scope(), root)
	if err := (RootCredentials{root, secret}).save(r.layout); err != nil {
		return err
	}
	r.run("IAM", r.iam.Run)
	key, err := ensureSessionKey(r.layout)
	if err != nil {
		return err
	}
	sealing, err := derivedKey(key, "session tokens")
	if err != nil {
		return err
	}
	encoding, err := derivedKey(key, "authorization messages")
	if err != nil {
		return err
	}
	if r.messages, err = gateway.NewMessages(encoding); err != nil {
		return err
	}
	if r.sts, err = sts.New(sts.Config{
		Account: id.Account, Region: id.Region, Key: sealing, Logger: r.logger,
		Roles: stsRoles{r.iam}, Policies: r.iam, Providers: stsProviders{r.iam}, Issuers: issuers{r},
		Decode: r.messages.Decode,
	}); err != nil {
		return err
	}
	r.rotating = sts.NewRotating(r.sts)
	if r.ec2, err = ec2.New(ec2.Config{
		Client: client, Account: id.Account, Region: id.Region, Profiles: profiles{r.iam}, Console: consoles{r.layout},
	}); err != nil {
		return err
	}
	if r.eks, err = eks.New(eks.Config{
		Client: client, Account: id.Account, Region: id.Region, Version: cluster.Version,
		Network: eksNetwork{r.ec2}, Roles: eksRoles{r.iam},
	}); err != nil {
		return err
	}
	r.openElasticity()
	r.ecr = ecr.New(ecr.Config{
		Client: client, Account: id.Account, Region: id.Region, Images: r.registry,
		Endpoint: "http://" + r.listen.registry.Addr().String(),
	})
	r.registry.Govern(r.ecr)
	if err := r.ecr.Adopt(ctx); err != nil {
		return err
	}
	return r.openWeb(key)
}

// openGateway puts the AWS endpoint before the services.
func (r *Region) openGateway() error {
	var err error
	if err := os.MkdirAll(filepath.Dir(r.layout.trail()), 0o755); err != nil {
		return fmt.Errorf("making the log directory: %w", err)
	}
	if r.trail, err = trail.Open(trail.Config{File: r.layout.trail(), Logger: r.logger}); err != nil {
		return fmt.Errorf("opening the trail: %w", err)
	}
	config := gateway.Config{
		Account: r.identity.Account, Region: r.identity.Region, Version: r.version,
		Services: []gateway.Service{
			{API: acmapi.Service, Handler: r.acm},
			{API: autoscalingapi.Service, Handler: r.autoscaling},
			{API: cloudwatchapi.Service, Handler: r.cloudwatch},
			{API: ec2api.Service, Handler: r.ec2},
			{API: ecrapi.Service, Handler: r.ecr, MaxBody: ecrMaxBody},
			{API: eksapi.Service, Handler: r.eks},
			{API: elbapi.Service, Handler: r.elb},
			{API: elbv2api.Service, Handler: r.elbv2},
			{API: iamapi.Service, Handler: r.iam},
			{API: route53api.Service, Handler: r.route53},
			{API: stsapi.Service, Handler: r.sts},
			{API: taggingapi.Service, Handler: tagging.New(tagging.Config{
				Account: r.identity.Account, Region: r.identity.Region, Sources: r.taggers(),
			})},
		},
		Credentials: keyring{r.iam, r.sts}, Trail: r.trail, Messages: r.messages,
		PrincipalTags: r.sts.PrincipalTags,
		Pages:         map[string]http.Handler{acm.ApprovalPath: r.acm.Approval()},
		Used: func(c caller.Caller, service, region string) {
			r.iam.Touch(c.Principal, c.AccessKeyID, service, region)
		},
		Logger: r.logger,
	}
	if r.allowReset {
		config.Reset = r.reset
	}
	if r.gateway, err = gateway.New(config); err != nil {
		return err
	}
	r.run("AWS endpoint", serve(r.listen.endpoint, r.gateway.Server()))
	return nil
}

// keyring finds what access keys stand for: it is the gateway's Credentials.
type keyring struct {
	iam *iam.Service
	sts *sts.Service
}

// Find implements gateway.Credentials.
func (k keyring) Find(ctx context.Context, id, token string) (gateway.Credential, error) {
	if strings.HasPrefix(id, "ASIA") {
		o, err := k.sts.Open(ctx, id, token)
		if err != nil {
			return gateway.Credential{}, err
		}
		return gateway.Credential{Credential: o.Credential, SessionPolicies: o.Policies}, nil
	}
	owner, err := k.iam.Key(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !owner.Active {
		return gateway.Credential{}, sigv4.ErrUnknownKey
	}
	if err != nil {
		return gateway.Credential{}, err
	}
	return gateway.Credential{Credential: caller.Credential{
		Secret: sigv4.Secret{SecretAccessKey: owner.Secret},
		Caller: caller.Caller{Principal: owner.Principal, AccessKeyID: id},
	}}, nil
}

// Policies implements gateway.Credentials. Who has been deleted may nothing.
func (k keyring) Policies(ctx context.Context, c caller.Caller) (*policy.Policies, error) {
	p, err := k.iam.Policies(ctx, c.Principal)
	if errors.Is(err, store.ErrNotFound) {
		return &policy.Policies{}, nil
	}
	return p, err
}
