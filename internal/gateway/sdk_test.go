package gateway

import (
	"context"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/tarn-eks/tarn/internal/trail"
)

// serve runs the gateway behind its own server and returns clients' settings.
func (f *fake) serve(t testing.TB) func(name string) aws.Config {
	server := httptest.NewUnstartedServer(nil)
	server.Config = f.Server()
	server.Start()
	t.Cleanup(server.Close)
	return func(name string) aws.Config {
		token := ""
		if name == "node" {
			token = "sealed"
		}
		return aws.Config{
			Region: region, BaseEndpoint: aws.String(server.URL),
			Retryer: func() aws.Retryer { return aws.NopRetryer{} },
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKIA" + name, SecretAccessKey: name, SessionToken: token}, nil
			}),
		}
	}
}

func realTime(c *Config) { c.Now = nil }

func TestSDK(t *testing.T) {
	f := newFake(t, realTime)
	client := f.serve(t)
	ctx := t.Context()

	who, err := sts.NewFromConfig(client("node")).GetCallerIdentity(ctx, nil)
	if err != nil || *who.UserId != "AROAnode:i-1" {
		t.Errorf("GetCallerIdentity: %v, %v", who, err)
	}
	web, err := sts.NewFromConfig(client("nobody")).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String("arn:aws:iam::000000000000:role/r"), RoleSessionName: aws.String("s"), WebIdentityToken: aws.String("eyJ"),
	})
	if err != nil || *web.Credentials.SecretAccessKey != "s3cr3t" {
		t.Errorf("AssumeRoleWithWebIdentity: %v, %v", web, err)
	}
	_, err = sts.NewFromConfig(client("nobody")).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String("arn:aws:iam::000000000000:role/r"), RoleSessionName: aws.String("s"), WebIdentityToken: aws.String("bad"),
	})
	typed[*ststypes.InvalidIdentityTokenException](t, "a bad token", err)
	_, err = iam.NewFromConfig(client("alice")).GetUser(ctx, &iam.GetUserInput{UserName: aws.String("ghost")})
	typed[*iamtypes.NoSuchEntityException](t, "no such user", err)
	_, err = eks.NewFromConfig(client("alice")).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("none")})
	typed[*ekstypes.ResourceNotFoundException](t, "no such cluster", err)
	_, err = eks.NewFromConfig(client("bob")).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("c")})
	code(t, "eks denied", err, "AccessDeniedException")
	_, err = ecr.NewFromConfig(client("bob")).DescribeRepositories(ctx, nil)
	code(t, "ecr denied", err, "AccessDeniedException")
	_, err = ec2.NewFromConfig(client("bob")).TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{"i-1"}})
	code(t, "ec2 denied", err, "UnauthorizedOperation")
	_, err = iam.NewFromConfig(client("mallory")).GetUser(ctx, &iam.GetUserInput{})
	code(t, "an unknown key", err, "InvalidClientTokenId")
	_, err = eks.NewFromConfig(client("alice")).ListFargateProfiles(ctx, &eks.ListFargateProfilesInput{ClusterName: aws.String("c")})
	code(t, "an absent operation", err, "NotImplemented")
	if _, err = ecr.NewFromConfig(client("alice")).DescribeRepositories(ctx, nil); err != nil {
		t.Errorf("ecr: %v", err)
	}
}

func typed[E error](t *testing.T, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		t.Errorf("%s: %v", what, err)
	}
}

func code(t *testing.T, what string, err error, want string) {
	t.Helper()
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != want {
		t.Errorf("%s: %v instead of %s", what, err, want)
	}
}

// TestManyAtOnce has callers of several services and permissions at the same
// time: each must get its own answer, and every call must be in the trail.
func TestManyAtOnce(t *testing.T) {
	const callers, each = 8, 25
	file := filepath.Join(t.TempDir(), "trail.json")
	tr, err := trail.Open(trail.Config{File: file})
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t, func(c *Config) { c.Now, c.Trail = nil, tr })
	client := f.serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range callers {
		name := []string{"alice", "bob", "root", "node"}[i%4]
		wg.Go(func() {
			who, compute := sts.NewFromConfig(client(name)), ec2.NewFromConfig(client(name))
			for range each {
				out, err := who.GetCallerIdentity(ctx, nil)
				if err != nil || !strings.Contains(*out.Arn, name) {
					t.Errorf("%s: %v, %v", name, out, err)
				}
				_, err = compute.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{"i-1"}})
				want := "InvalidInstanceID.NotFound"
				if name == "bob" {
					want = "UnauthorizedOperation"
				}
				code(t, name, err, want)
			}
		})
	}
	wg.Wait()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	n, denied := 0, 0
	err = trail.Read(ctx, file, false, func(line []byte) error {
		r, err := trail.Parse(line)
		if n++; r.ErrorCode == "Client.UnauthorizedOperation" {
			if denied++; r.UserIdentity.UserName != "bob" {
				t.Errorf("denied: %+v", r.UserIdentity)
			}
		}
		return err
	})
	if err != nil || n != 2*callers*each || denied != callers/4*each {
		t.Errorf("%d records, %d denials, %v", n, denied, err)
	}
}
