package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/tarn-eks/tarn/internal/region"
)

const (
	// rate is calls per second of the paced load.
	rate = 1000
	// atOnce is how many calls the unpaced load has under way.
	atOnce = 16
	// describes is the number of DescribeInstances calls of which a run is the median.
	describes = 200
)

// calls measures the AWS endpoint of a running region. The client is
// aws-sdk-go-v2 in this process, which shares the processors with the region.
func (b bench) calls(ctx context.Context, runs int, during time.Duration) ([]row, error) {
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return b.tarn(ctx, "up") },
		func(ctx context.Context) error { return b.tarn(ctx, "down") },
		b.fill,
		b.settle,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	user, err := b.user(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := describe(ctx, user, runs)
	if err != nil {
		return nil, err
	}
	caller, identities := sts.NewFromConfig(user), iam.NewFromConfig(user)
	for _, c := range []struct {
		what string
		call func(context.Context) error
	}{
		{"GetCallerIdentity (signature)", func(ctx context.Context) error {
			_, err := caller.GetCallerIdentity(ctx, nil)
			return err
		}},
		{"GetUser (signature, two policies)", func(ctx context.Context) error {
			_, err := identities.GetUser(ctx, nil)
			return err
		}},
	} {
		more, err := loaded(ctx, c.what, runs, during, c.call)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.what, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// loaded measures a call under load.
func loaded(ctx context.Context, what string, runs int, during time.Duration, call func(context.Context) error) ([]row, error) {
	middle := row{what: fmt.Sprintf("%s, %d/s, median request", what, rate), unit: "ms"}
	slowest := row{what: fmt.Sprintf("%s, %d/s, slowest request", what, rate), unit: "ms", target: 100, worst: true}
	most := row{what: what + ", as fast as they go", unit: "requests/s", target: rate, atLeast: true}
	if _, err := unpaced(ctx, atOnce, time.Second, call); err != nil { // opens the connections
		return nil, err
	}
	for range runs {
		took, err := paced(ctx, rate, during, call)
		if err != nil {
			return nil, err
		}
		slices.Sort(took)
		middle.values = append(middle.values, took[len(took)/2])
		slowest.values = append(slowest.values, took[len(took)-1])
		perSecond, err := unpaced(ctx, atOnce, during, call)
		if err != nil {
			return nil, err
		}
		most.values = append(most.values, perSecond)
	}
	return []row{middle, slowest, most}, nil
}

// describe measures DescribeInstances, one call after the other: what the region
// takes, and for information what the SDK then takes to make values of it.
func describe(ctx context.Context, user aws.Config, runs int) ([]row, error) {
	answered := row{what: fmt.Sprintf("DescribeInstances, %d nodes and more, to the reply's last byte, p50", crowd), unit: "ms", target: 3}
	decoded := row{what: "the same, and decoded by aws-sdk-go-v2, p50", unit: "ms"}
	watch := &stopwatch{client: user.HTTPClient}
	user.HTTPClient = watch
	client := ec2.NewFromConfig(user)
	for run := range runs + 1 {
		var replies, calls []float64
		watch.empty = true
		for range describes {
			if _, err := client.DescribeInstances(ctx, nil); err != nil {
				return nil, err
			}
			replies = append(replies, milliseconds(watch.took))
			if n := bytes.Count(watch.reply.Bytes(), []byte("<instanceId>")); n < crowd {
				return nil, fmt.Errorf("DescribeInstances tells of %d instances, not of %d at least", n, crowd)
			}
		}
		watch.empty = false
		for range describes / 10 {
			began := time.Now()
			if _, err := client.DescribeInstances(ctx, nil); err != nil {
				return nil, err
			}
			calls = append(calls, milliseconds(time.Since(began)))
		}
		if run == 0 {
			continue // to warm up
		}
		slices.Sort(replies)
		slices.Sort(calls)
		answered.values = append(answered.values, replies[len(replies)/2])
		decoded.values = append(decoded.values, calls[len(calls)/2])
	}
	return []row{answered, decoded}, nil
}

// stopwatch times requests that come one by one, from the signed request to the
// last byte of the reply, which it reads before the SDK sees it.
type stopwatch struct {
	client aws.HTTPClient
	took   time.Duration
	reply  bytes.Buffer
	// empty gives the SDK a reply without instances: it takes many times as long to
	// decode as the region to answer, and its garbage would be collected during the
	// next call.
	empty bool
}

// Do implements aws.HTTPClient.
func (s *stopwatch) Do(r *http.Request) (*http.Response, error) {
	s.reply.Reset()
	began := time.Now()
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	_, err = s.reply.ReadFrom(resp.Body)
	s.took = time.Since(began)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	body := s.reply.Bytes()
	if s.empty && resp.StatusCode == http.StatusOK {
		body = []byte("<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>")
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// policies are those of the user who calls. One has a variable and a condition.
var policies = map[string]string{
	"bench-see": `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["ec2:Describe*", "eks:Describe*", "eks:List*"], "Resource": "*"}]}`,
	"bench-self": `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["iam:GetUser", "iam:ListAccessKeys"], "Resource": "arn:aws:iam::*:user/${aws:username}"},
		{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}]}`,
}

// user makes an IAM user with the policies, through the API, and returns how to
// call as that user.
func (b bench) user(ctx context.Context) (aws.Config, error) {
	root, err := region.LoadCredentials(b.dir)
	if err != nil {
		return aws.Config{}, err
	}
	id, err := region.LoadIdentity(b.dir)
	if err != nil {
		return aws.Config{}, err
	}
	admin, name := iam.NewFromConfig(configuration(id, root.AccessKeyID, root.SecretAccessKey)), aws.String("bench")
	if _, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); err != nil {
		return aws.Config{}, err
	}
	for title, document := range policies {
		made, err := admin.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &title, PolicyDocument: &document})
		if err != nil {
			return aws.Config{}, err
		}
		if _, err := admin.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: made.Policy.Arn}); err != nil {
			return aws.Config{}, err
		}
	}
	key, err := admin.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		return aws.Config{}, err
	}
	user := configuration(id, *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey)
	// A region that lets everybody do everything would be fast.
	_, err = iam.NewFromConfig(user).ListUsers(ctx, nil)
	var denied smithy.APIError
	if !errors.As(err, &denied) || denied.ErrorCode() != "AccessDenied" {
		return aws.Config{}, fmt.Errorf("the user may not list users, and got: %v", err)
	}
	return user, nil
}

// configuration is the SDK's for the region. Nothing is tried twice: what fails
// or stalls shall be seen.
func configuration(id region.Identity, key, secret string) aws.Config {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
	})
	return aws.Config{
		Region: id.Region, BaseEndpoint: aws.String(id.Endpoint()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, nil
		}),
		HTTPClient: client,
		Retryer:    func() aws.Retryer { return aws.NopRetryer{} },
	}
}
