package conformance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/tarn-eks/tarn/internal/api"
	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
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
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

// rounds is how many generated values each operation sees, each way.
const rounds = 12

type subject struct {
	api    *api.Service
	client func(aws.Config) any
}

var subjects = []subject{
	{api: stsapi.Service, client: func(c aws.Config) any { return sts.NewFromConfig(c) }},
	{api: iamapi.Service, client: func(c aws.Config) any { return iam.NewFromConfig(c) }},
	{api: ec2api.Service, client: func(c aws.Config) any { return ec2.NewFromConfig(c) }},
	{api: eksapi.Service, client: func(c aws.Config) any { return eks.NewFromConfig(c) }},
	{api: ecrapi.Service, client: func(c aws.Config) any { return ecr.NewFromConfig(c) }},
	{api: elbapi.Service, client: func(c aws.Config) any { return elb.NewFromConfig(c) }},
	{api: elbv2api.Service, client: func(c aws.Config) any { return elbv2.NewFromConfig(c) }},
	{api: route53api.Service, client: func(c aws.Config) any { return route53.NewFromConfig(c) }},
	{api: acmapi.Service, client: func(c aws.Config) any { return acm.NewFromConfig(c) }},
	{api: taggingapi.Service, client: func(c aws.Config) any { return resourcegroupstaggingapi.NewFromConfig(c) }},
	{api: cloudwatchapi.Service, client: func(c aws.Config) any { return cloudwatch.NewFromConfig(c) }},
}

// exchange is one request and its answer.
type exchange struct {
	input    any
	protocol api.Protocol
	err      error // of reading the request, or of writing the answer
}

// endpoint answers with the output or error that was put into it, and says
// what it read. One request at a time.
type endpoint struct {
	service *wire.Service
	answers chan any // an output or an error
	seen    chan exchange
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := <-e.answers
	req, err := e.service.Parse(r)
	x := exchange{input: req.Input, protocol: req.Protocol.Name(), err: err}
	if err == nil {
		err, _ = answer.(error)
	}
	if err != nil {
		err = req.Protocol.WriteError(w, err, "request-id")
	} else {
		err = req.Protocol.WriteOutput(w, req.Op, answer, "request-id")
	}
	if x.err == nil {
		x.err = err
	}
	e.seen <- x
}

func start(t *testing.T, s subject) (client reflect.Value, e *endpoint) {
	e = &endpoint{
		service: wire.New(wire.Config{API: s.api, MaxBody: 8 << 20}),
		answers: make(chan any, 1), seen: make(chan exchange, 1),
	}
	return reflect.ValueOf(s.client(wiretest.Endpoint(t, e, "ap-northeast-2"))), e
}

// call sends the input and returns the client's result.
func (e *endpoint) call(t *testing.T, method, in reflect.Value, answer any) (exchange, reflect.Value, error) {
	t.Helper()
	e.answers <- answer
	res := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
	err, _ := res[1].Interface().(error)
	select {
	case <-e.answers:
		t.Fatalf("the client sent nothing: %v", err)
		panic("unreachable")
	default: // the endpoint has taken the answer, so it will tell what it saw
		return <-e.seen, res[0], err
	}
}

func TestValues(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.api.Name, func(t *testing.T) {
			client, e := start(t, s)
			var unknown []string
			for i := range s.api.Operations {
				op := &s.api.Operations[i]
				method := client.MethodByName(op.Name)
				if !method.IsValid() {
					t.Errorf("the SDK has no operation %s", op.Name)
					continue
				}
				lacks(op.Input, method.Type().In(1), op.Name+"Input", map[reflect.Type]bool{}, &unknown)
				lacks(op.Output, method.Type().Out(0), op.Name+"Output", map[reflect.Type]bool{}, &unknown)
				t.Run(op.Name, func(t *testing.T) {
					for seed := range uint64(rounds) {
						e.roundTrip(t, op, method, seed)
						if t.Failed() {
							t.Fatalf("with seed %d", seed)
						}
					}
				})
			}
			if len(unknown) > 0 {
				t.Errorf("members that the SDK lacks, so that this test says nothing about them: %s", strings.Join(unknown, " "))
			}
		})
	}
}

// roundTrip sends one generated input and answers with one generated output.
func (e *endpoint) roundTrip(t *testing.T, op *api.Operation, method reflect.Value, seed uint64) {
	protocol := e.service.Protocols[0]
	g := &values{Rand: rand.New(rand.NewPCG(seed, 1)), everything: seed == 0}
	g.xml = protocol == api.AWSQuery || protocol == api.EC2Query || protocol == api.RestXML
	out := reflect.New(op.Output)
	g.structure(out.Elem(), 0)
	theirOut := reflect.New(method.Type().Out(0).Elem())
	adapt(out.Elem(), theirOut.Elem())

	g.noEmpty, g.noEmptyMap = protocol == api.EC2Query, protocol == api.AWSQuery
	in := reflect.New(op.Input)
	g.structure(in.Elem(), 0)
	theirIn := reflect.New(method.Type().In(1).Elem())
	adapt(in.Elem(), theirIn.Elem())

	x, got, err := e.call(t, method, theirIn, out.Interface())
	if x.err != nil {
		t.Fatalf("the endpoint says: %v", x.err)
	}
	if x.protocol != protocol {
		t.Errorf("the request came in protocol %s, want %s", x.protocol, protocol)
	}
	var diffs []string
	compare(reflect.ValueOf(x.input).Elem(), theirIn.Elem(), "Input", &diffs)
	if err != nil {
		t.Errorf("the client says: %v", err)
	} else {
		compare(out.Elem(), got.Elem(), "Output", &diffs)
	}
	for _, d := range diffs {
		t.Error(d)
	}
}

func TestErrors(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.api.Name, func(t *testing.T) {
			client, e := start(t, s)
			for i := range s.api.Operations {
				op := &s.api.Operations[i]
				method := client.MethodByName(op.Name)
				t.Run(op.Name, func(t *testing.T) {
					for _, et := range s.api.Errors {
						for _, name := range strings.Fields(op.Errors) {
							if name == et.Shape {
								e.fail(t, op, method, et.New("%s <&> ü", et.Shape), et)
							}
						}
					}
					e.fail(t, op, method, api.Errorf(403, "AccessDenied", "User: %s is not authorized", "arn"), api.ErrorType{})
					e.fail(t, op, method, fmt.Errorf("%w: secret", errors.ErrUnsupported), api.ErrorType{})
				})
			}
		})
	}
}

// fail answers with an error, which should arrive as the SDK's type of that name.
func (e *endpoint) fail(t *testing.T, op *api.Operation, method reflect.Value, answer error, typ api.ErrorType) {
	t.Helper()
	g := &values{Rand: rand.New(rand.NewPCG(1, 1)), xml: true, noEmpty: true}
	in := reflect.New(op.Input)
	g.structure(in.Elem(), 0)
	theirIn := reflect.New(method.Type().In(1).Elem())
	adapt(in.Elem(), theirIn.Elem())
	want, declared := answer.(*api.Error)
	if typ.Detail != nil {
		v := reflect.New(typ.Detail)
		g.structure(v.Elem(), 0)
		want.Detail = v.Interface()
	}
	x, _, err := e.call(t, method, theirIn, answer)
	if x.err != nil {
		t.Fatalf("the endpoint says: %v", x.err)
	}
	var apiErr smithy.APIError
	if !errors.As(err, &apiErr) {
		t.Fatalf("%v arrived as %v", answer, err)
	}
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &status) {
		t.Fatalf("%v has no status", err)
	}
	if !declared {
		if status.HTTPStatusCode() != 500 || strings.Contains(err.Error(), "secret") {
			t.Errorf("an internal error arrived as %v", err)
		}
		return
	}
	if typ.Shape == "InvalidChangeBatch" {
		want.Message = "ChangeBatch errors occurred" // the SDK's own; the texts are in Messages
	}
	if apiErr.ErrorMessage() != want.Message || status.HTTPStatusCode() != want.Status {
		t.Errorf("%v with status %d arrived as %v", want, want.Status, err)
	}
	if typ.Shape == "" {
		if apiErr.ErrorCode() != want.Code {
			t.Errorf("%v arrived with the code %s", want, apiErr.ErrorCode())
		}
		return
	}
	v := reflect.ValueOf(apiErr).Elem()
	if v.Type().Name() != typ.Shape {
		t.Errorf("%s: %s arrived as %T", op.Name, typ.Shape, apiErr)
		return
	}
	if want.Detail != nil {
		var diffs []string
		compare(reflect.ValueOf(want.Detail).Elem(), v, typ.Shape, &diffs)
		for _, d := range diffs {
			t.Error(d)
		}
	}
}
