package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/api/sts"
)

var services = map[string]*Service{}

func init() {
	for _, s := range []*api.Service{
		acm.Service, cloudwatch.Service, ec2.Service, ecr.Service, eks.Service,
		elb.Service, iam.Service, route53.Service, sts.Service,
	} {
		services[s.Name] = New(Config{API: s})
	}
}

// request makes a request from "METHOD target", header lines and a body.
func request(text string) *http.Request {
	top, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(top, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Set(name, value)
	}
	return r
}

const form = "POST /\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\n\n"

func TestParse(t *testing.T) {
	day := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, service, request string
		protocol               api.Protocol
		want                   any
	}{
		{
			"presigned", "sts",
			"GET /?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60",
			api.AWSQuery, &sts.GetCallerIdentityInput{},
		},
		{
			"query", "sts",
			form + "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fa&RoleSessionName=s" +
				"&Tags.member.2.Key=k2&Tags.member.2.Value=&Tags.member.1.Key=k1&Tags.member.1.Value=v+1" +
				"&Tags.member.10.Key=k10&Tags.member.10.Value=x&PolicyArns=&DurationSeconds=900",
			api.AWSQuery, &sts.AssumeRoleInput{
				RoleArn: new("arn:aws:iam::000000000000:role/a"), RoleSessionName: new("s"), DurationSeconds: new(int32(900)),
				Tags:       []sts.Tag{{Key: new("k1"), Value: new("v 1")}, {Key: new("k2"), Value: new("")}, {Key: new("k10"), Value: new("x")}},
				PolicyArns: []sts.PolicyDescriptorType{},
			},
		},
		{
			"ec2", "ec2",
			form + "Action=DescribeInstances&Filter.1.Name=tag%3AName&Filter.1.Value.1=a&Filter.1.Value.2=b&InstanceId.1=i-1&MaxResults=5&DryRun=TRUE",
			api.EC2Query, &ec2.DescribeInstancesInput{
				Filters:     []ec2.Filter{{Name: new("tag:Name"), Values: []string{"a", "b"}}},
				InstanceIds: []string{"i-1"}, MaxResults: new(int32(5)), DryRun: new(true),
			},
		},
		{
			"path, query and token", "eks",
			"GET /clusters/my%2Fcluster/node-groups?maxResults=3&nextToken=a%2Bb",
			api.RestJSON1, &eks.ListNodegroupsInput{ClusterName: new("my/cluster"), MaxResults: new(int32(3)), NextToken: new("a+b")},
		},
		{
			"json body", "eks",
			"POST /clusters/c/node-groups\nContent-Type: application/json\n\n" +
				`{"nodegroupName":"n","subnets":["s-1",null],"nodeRole":"r","labels":{},"scalingConfig":{"minSize":1e0,"unheard":[{}]},"clusterName":"elsewhere","taints":null}`,
			api.RestJSON1, &eks.CreateNodegroupInput{
				ClusterName: new("c"), NodegroupName: new("n"), Subnets: []string{"s-1"}, NodeRole: new("r"),
				Labels: map[string]string{}, ScalingConfig: &eks.NodegroupScalingConfig{MinSize: new(int32(1))},
			},
		},
		{
			"xml body", "route53",
			"POST /2013-04-01/hostedzone/Z1/rrset/\n\n" + `<?xml version="1.0"?><ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/">` +
				`<ChangeBatch><Comment/><Changes><Change><Action>UPSERT</Action><ResourceRecordSet><Name>a&amp;b.</Name><Type>A</Type><TTL>60</TTL>` +
				`<ResourceRecords><ResourceRecord><Value><![CDATA[1.2.3.4]]></Value></ResourceRecord></ResourceRecords><Unheard><x/></Unheard></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`,
			api.RestXML, &route53.ChangeResourceRecordSetsInput{HostedZoneId: new("Z1"), ChangeBatch: &route53.ChangeBatch{
				Comment: new(""),
				Changes: []route53.Change{{Action: "UPSERT", ResourceRecordSet: &route53.ResourceRecordSet{
					Name: new("a&b."), Type: "A", TTL: new(int64(60)), ResourceRecords: []route53.ResourceRecord{{Value: new("1.2.3.4")}},
				}}},
			}},
		},
		{
			"awsJson1.1", "ecr",
			"POST /\nX-Amz-Target: AmazonEC2ContainerRegistry_V20150921.ListImages\nContent-Type: application/x-amz-json-1.1\n\n" +
				`{"repositoryName":"r","filter":{"tagStatus":"TAGGED"}}`,
			api.AWSJSON11, &ecr.ListImagesInput{RepositoryName: new("r"), Filter: &ecr.ListImagesFilter{TagStatus: "TAGGED"}},
		},
		{
			"cloudwatch in awsJson1.0", "cloudwatch",
			"POST /\nX-Amz-Target: GraniteServiceVersion20100801.PutMetricData\nContent-Type: application/x-amz-json-1.0\n\n" +
				`{"Namespace":"n","MetricData":[{"MetricName":"m","Timestamp":1795417200.5,"Value":"NaN"}]}`,
			api.AWSJSON10, &cloudwatch.PutMetricDataInput{Namespace: new("n"), MetricData: []cloudwatch.MetricDatum{{
				MetricName: new("m"), Timestamp: new(day.Add(500 * time.Millisecond)), Value: new(nan),
			}}},
		},
		{
			"cloudwatch in awsQuery", "cloudwatch",
			form + "Action=PutMetricData&Version=2010-08-01&Namespace=n&MetricData.member.1.MetricName=m" +
				"&MetricData.member.1.Timestamp=2026-11-23T07%3A00%3A00Z&MetricData.member.1.Values.member.1=1.5&MetricData.member.1.Values.member.2=-2",
			api.AWSQuery, &cloudwatch.PutMetricDataInput{Namespace: new("n"), MetricData: []cloudwatch.MetricDatum{{
				MetricName: new("m"), Timestamp: &day, Values: []float64{1.5, -2},
			}}},
		},
		{
			"cloudwatch in rpcv2Cbor", "cloudwatch",
			"POST /service/GraniteServiceVersion20100801/operation/DeleteAlarms\nSmithy-Protocol: rpc-v2-cbor\nContent-Type: application/cbor\n\n" +
				"\xbf\x6aAlarmNames\x9f\x61a\xf6\x7f\x61b\x61c\xff\xff\x61x\x05\xff",
			api.RPCv2CBOR, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"a", "bc"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := services[c.service].Parse(request(c.request))
			if err != nil {
				t.Fatal(err)
			}
			if req.Protocol.Name() != c.protocol {
				t.Errorf("protocol %s, want %s", req.Protocol.Name(), c.protocol)
			}
			if d := cmp.Diff(c.want, req.Input, cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b })); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		name, service, request string
		status                 int
		code, text             string
	}{
		{"the API of another version under the same name", "elb", form + "Action=DescribeLoadBalancers&Version=2015-12-01", 501, "NotImplemented", "no operation DescribeLoadBalancers of version 2015-12-01"},
		{"absent operation of a query service", "iam", form + "Action=CreateSAMLProvider", 501, "NotImplemented", "CreateSAMLProvider of IAM"},
		{"absent operation of EC2", "ec2", form + "Action=CreateNatGateway", 501, "NotImplemented", "CreateNatGateway"},
		{"absent operation by path", "eks", "POST /clusters/c/fargate-profiles", 501, "NotImplemented", "CreateFargateProfile"},
		{"absent operation by target", "ecr", "POST /\nX-Amz-Target: X.StartImageScan", 501, "NotImplemented", "StartImageScan"},
		{"absent operation in CBOR", "cloudwatch", "POST /service/GraniteServiceVersion20100801/operation/GetMetricWidgetImage\nSmithy-Protocol: rpc-v2-cbor", 501, "NotImplemented", "GetMetricWidgetImage"},
		{"no operation of a query service", "iam", form + "Action=Foo", 400, "InvalidAction", "Could not find operation Foo for version 2010-05-08"},
		{"no action", "iam", form, 400, "MissingAction", "Action"},
		{"no operation of EC2", "ec2", form + "Action=Foo", 400, "InvalidAction", "The action Foo is not valid for this web service."},
		{"no operation by path", "eks", "PATCH /clusters", 404, "UnknownOperationException", "PATCH /clusters"},
		{"empty label", "eks", "GET /clusters//node-groups", 404, "UnknownOperationException", ""},
		{"no operation by target", "acm", "POST /\nX-Amz-Target: CertificateManager.Foo", 400, "UnknownOperationException", "Foo"},
		{"missing in a query", "iam", form + "Action=TagUser&Tags.member.1.Key=k", 400, "ValidationError",
			"2 validation errors detected: Value null at 'userName' failed to satisfy constraint: Member must not be null; Value null at 'tags.1.Value' failed"},
		{"missing in EC2", "ec2", form + "Action=DeleteTags", 400, "MissingParameter", "The request must contain the parameter ResourceId"},
		{"missing in JSON", "ecr", "POST /\nX-Amz-Target: X.CreateRepository\n\n{}", 400, "InvalidParameterException", "'repositoryName'"},
		{"not a number", "ec2", form + "Action=DescribeInstances&MaxResults=many", 400, "InvalidParameterValue", `MaxResults: "many"`},
		{"number too large", "sts", form + "Action=GetSessionToken&DurationSeconds=99999999999", 400, "MalformedInput", "32 bits"},
		{"scalar with parts", "iam", form + "Action=GetUser&UserName.x=1", 400, "MalformedInput", "UserName.x"},
		{"element without number", "iam", form + "Action=TagUser&Tags.member.x.Key=1", 400, "MalformedInput", `"x"`},
		{"broken escapes", "iam", form + "Action=GetUser&UserName=%zz", 400, "MalformedInput", "malformed"},
		{"broken JSON", "eks", "POST /clusters\n\n{\"name\":", 400, "SerializationException", "too early"},
		{"two JSON documents", "eks", "POST /clusters\n\n{}{}", 400, "SerializationException", "more than an object"},
		{"wrong type", "eks", "POST /clusters\n\n{\"name\":5}", 400, "SerializationException", "name: a string was expected"},
		{"fraction for an integer", "eks", "POST /clusters/c/node-groups/n/update-config\n\n{\"scalingConfig\":{\"minSize\":1.5}}", 400, "SerializationException", "integer"},
		{"broken XML", "route53", "POST /2013-04-01/hostedzone\n\n<a><b></a>", 400, "InvalidInput", ""},
		{"broken CBOR", "cloudwatch", "POST /service/GraniteServiceVersion20100801/operation/DeleteAlarms\nSmithy-Protocol: rpc-v2-cbor\n\n\xbf\x61", 400, "SerializationException", ""},
		{"deep JSON", "eks", "POST /clusters\n\n" + strings.Repeat(`{"logging":`, 100), 400, "SerializationException", ""},
		{"deep XML", "route53", "POST /2013-04-01/hostedzone\n\n" + strings.Repeat(`<a>`, 10000), 400, "InvalidInput", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := services[c.service].Parse(request(c.request))
			e, ok := errors.AsType[*api.Error](err)
			if !ok {
				t.Fatalf("got %v, %v", req.Input, err)
			}
			if e.Status != c.status || e.Code != c.code || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %d %s %q, want %d %s with %q", e.Status, e.Code, e.Message, c.status, c.code, c.text)
			}
		})
	}
}

// What a small body may ask for is bounded by the limit of bodies.
func TestLimits(t *testing.T) {
	eks := New(Config{API: eks.Service, MaxBody: 10000})
	route53 := New(Config{API: route53.Service, MaxBody: 10000})
	ec2 := New(Config{API: ec2.Service, MaxBody: 10000})
	cloudwatch := New(Config{API: cloudwatch.Service, MaxBody: 10000})
	cbor := "POST /service/GraniteServiceVersion20100801/operation/PutMetricData\nSmithy-Protocol: rpc-v2-cbor\n\n\xa1\x6aMetricData"
	large, cut := compressed(10001), compressed(5000)
	cut = cut[:len(cut)-4]
	var mappings strings.Builder
	for i := range 400 {
		fmt.Fprintf(&mappings, "&BlockDeviceMapping.%d=", i)
	}
	for _, c := range []struct {
		name    string
		service *Service
		request string
		code    string
	}{
		{"body", eks, "POST /clusters\n\n" + strings.Repeat(" ", 10001), "RequestEntityTooLargeException"},
		{"compressed body", eks, "POST /clusters\nContent-Encoding: gzip\n\n" + large, "RequestEntityTooLargeException"},
		{"not compressed", eks, "POST /clusters\nContent-Encoding: gzip\n\nxyz", "SerializationException"},
		{"compressed and cut", eks, "POST /clusters\nContent-Encoding: gzip\n\n" + cut, "IncompleteBody"},
		{"JSON", eks, "POST /clusters\n\n" + `{"encryptionConfig":[{}` + strings.Repeat(",{}", 3000) + `]}`, "SerializationException"},
		{"XML", route53, "POST /2013-04-01/hostedzone/Z/rrset\n\n<a><ChangeBatch><Changes>" + strings.Repeat("<a/>", 2000) + "</Changes></ChangeBatch></a>", "InvalidInput"},
		{"query", ec2, form + "Action=RunInstances" + mappings.String(), "InvalidParameterValue"},
		{"form", New(Config{API: ec2.Service}), form + "Action=DescribeInstances" + strings.Repeat("&a=", maxParams), "InvalidParameterValue"},
		{"CBOR", cloudwatch, cbor + "\x99\x13\x88" + strings.Repeat("\xa0", 5000), "SerializationException"},
		{"CBOR that claims", cloudwatch, cbor + "\x9b\x00\x00\x00\x10\x00\x00\x00\x00", "SerializationException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.service.Parse(request(c.request))
			if api.Code(err) != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
}

func compressed(zeros int) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(make([]byte, zeros))
	z.Close()
	return b.String()
}

func TestWriteOutput(t *testing.T) {
	at := time.Date(2026, 11, 23, 7, 8, 9, 10_000_000, time.UTC)
	for _, c := range []struct {
		service, op string
		protocol    api.Protocol
		out         any
		status      int
		contentType string
		body        string
	}{
		{"sts", "GetCallerIdentity", api.AWSQuery, &sts.GetCallerIdentityOutput{Account: new("1<2")}, 200, "text/xml",
			`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>1&lt;2</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetCallerIdentityResponse>`},
		{"iam", "DeleteUser", api.AWSQuery, &iam.DeleteUserOutput{}, 200, "text/xml",
			`<DeleteUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DeleteUserResponse>`},
		{"iam", "ListUsers", api.AWSQuery, &iam.ListUsersOutput{Users: []iam.User{}, IsTruncated: new(false)}, 200, "text/xml",
			`<ListUsersResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListUsersResult><Users></Users><IsTruncated>false</IsTruncated></ListUsersResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></ListUsersResponse>`},
		{"iam", "GetAccountSummary", api.AWSQuery, &iam.GetAccountSummaryOutput{SummaryMap: map[string]int32{"Users": 1}}, 200, "text/xml",
			`<GetAccountSummaryResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetAccountSummaryResult><SummaryMap><entry><key>Users</key><value>1</value></entry></SummaryMap></GetAccountSummaryResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetAccountSummaryResponse>`},
		{"ec2", "DeleteRoute", api.EC2Query, &ec2.DeleteRouteOutput{}, 200, "text/xml;charset=UTF-8",
			xmlHeader + `<DeleteRouteResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>id</requestId><return>true</return></DeleteRouteResponse>`},
		{"ec2", "DescribeInstances", api.EC2Query, &ec2.DescribeInstancesOutput{Reservations: []ec2.Reservation{{Instances: []ec2.Instance{{LaunchTime: &at}}}}}, 200, "text/xml;charset=UTF-8",
			xmlHeader + `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>id</requestId><reservationSet><item><instancesSet><item><launchTime>2026-11-23T07:08:09.010Z</launchTime></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`},
		{"eks", "DescribeCluster", api.RestJSON1, &eks.DescribeClusterOutput{Cluster: &eks.Cluster{Name: new("<é\n\x01>"), CreatedAt: &at, Tags: map[string]string{}}}, 200, "application/json",
			`{"cluster":{"name":"<é\n\u0001>","createdAt":1795417689.010,"tags":{}}}`},
		{"route53", "CreateHostedZone", api.RestXML, &route53.CreateHostedZoneOutput{Location: new("https://x"), DelegationSet: &route53.DelegationSet{NameServers: []string{"a"}}}, 201, "text/xml",
			xmlHeader + `<CreateHostedZoneResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><DelegationSet><NameServers><NameServer>a</NameServer></NameServers></DelegationSet></CreateHostedZoneResponse>`},
		{"acm", "DeleteCertificate", api.AWSJSON11, &acm.DeleteCertificateOutput{}, 200, "application/x-amz-json-1.1", ``},
		{"cloudwatch", "GetMetricData", api.AWSJSON10, &cloudwatch.GetMetricDataOutput{MetricDataResults: []cloudwatch.MetricDataResult{{Values: []float64{1, 0.5, nan}, Timestamps: []time.Time{at.Truncate(time.Second)}}}}, 200, "application/x-amz-json-1.0",
			`{"MetricDataResults":[{"Timestamps":[1795417689],"Values":[1.0,0.5,"NaN"]}]}`},
		{"cloudwatch", "GetMetricData", api.RPCv2CBOR, &cloudwatch.GetMetricDataOutput{MetricDataResults: []cloudwatch.MetricDataResult{{Values: []float64{0.5}, Timestamps: []time.Time{at.Truncate(time.Second)}}}}, 200, "application/cbor",
			"\xa1\x71MetricDataResults\x81\xa2\x66Values\x81\xfb\x3f\xe0\x00\x00\x00\x00\x00\x00\x6aTimestamps\x81\xc1\x1a\x6b\x03\xe6\x59"},
		{"cloudwatch", "PutMetricData", api.RPCv2CBOR, &cloudwatch.PutMetricDataOutput{}, 200, "", ""},
	} {
		t.Run(c.service+" "+c.op, func(t *testing.T) {
			s := services[c.service]
			w := httptest.NewRecorder()
			if err := (Protocol{name: c.protocol, service: s}).WriteOutput(w, s.Lookup(c.op), c.out, "id"); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || w.Header().Get("X-Amzn-Requestid") != "id" {
				t.Errorf("status %d, header %v", w.Code, w.Header())
			}
			if w.Body.String() != c.body {
				t.Errorf("body\n got %q\nwant %q", w.Body.String(), c.body)
			}
		})
	}
}

func TestWriteError(t *testing.T) {
	noUser := iam.NoSuchEntityException.New("The user with name a&b cannot be found.")
	for _, c := range []struct {
		name, service string
		protocol      api.Protocol
		err           error
		status        int
		header        map[string]string
		body          string
	}{
		{"awsQuery", "iam", api.AWSQuery, noUser, 404, map[string]string{"Content-Type": "text/xml"},
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>The user with name a&amp;b cannot be found.</Message></Error><RequestId>id</RequestId></ErrorResponse>`},
		{"wrapped", "iam", api.AWSQuery, errors.Join(errors.New("x"), noUser), 404, nil,
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>The user with name a&amp;b cannot be found.</Message></Error><RequestId>id</RequestId></ErrorResponse>`},
		{"ec2Query", "ec2", api.EC2Query, api.Errorf(400, "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist"), 400, nil,
			xmlHeader + `<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>The instance ID 'i-1' does not exist</Message></Error></Errors><RequestID>id</RequestID></Response>`},
		{"internal", "ec2", api.EC2Query, errors.New("secret"), 500, nil,
			xmlHeader + `<Response><Errors><Error><Code>InternalError</Code><Message>An internal error has occurred.</Message></Error></Errors><RequestID>id</RequestID></Response>`},
		{"restJson1", "eks", api.RestJSON1,
			eks.ResourceNotFoundException.New("No cluster found for name: c.").With(&eks.ResourceNotFoundExceptionDetail{ClusterName: new("c")}),
			404, map[string]string{"X-Amzn-Errortype": "ResourceNotFoundException", "Content-Type": "application/json"},
			`{"message":"No cluster found for name: c.","clusterName":"c"}`},
		{"restXml", "route53", api.RestXML, route53.NoSuchHostedZone.New("No hosted zone found with ID: Z"), 404, nil,
			xmlHeader + `<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type><Code>NoSuchHostedZone</Code><Message>No hosted zone found with ID: Z</Message></Error><RequestId>id</RequestId></ErrorResponse>`},
		{"invalid change batch", "route53", api.RestXML, route53.InvalidChangeBatch.New("").With(&route53.InvalidChangeBatchDetail{Messages: []string{"a", "b"}}), 400, nil,
			xmlHeader + `<InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Messages><Message>a</Message><Message>b</Message></Messages><RequestId>id</RequestId></InvalidChangeBatch>`},
		{"awsJson1.1", "ecr", api.AWSJSON11, ecr.RepositoryNotFoundException.New("no"), 400, map[string]string{"Content-Type": "application/x-amz-json-1.1"},
			`{"__type":"RepositoryNotFoundException","message":"no"}`},
		{"awsJson1.0", "cloudwatch", api.AWSJSON10, cloudwatch.InvalidNextToken.New("no"), 400,
			map[string]string{"X-Amzn-Query-Error": "InvalidNextToken;Sender"},
			`{"__type":"InvalidNextToken","message":"no"}`},
		{"rpcv2Cbor", "cloudwatch", api.RPCv2CBOR, cloudwatch.DashboardInvalidInputError.New("no"), 400,
			map[string]string{"X-Amzn-Query-Error": "InvalidParameterInput;Sender", "Smithy-Protocol": "rpc-v2-cbor"},
			"\xa2\x66__type\x78\x33com.amazonaws.cloudwatch#DashboardInvalidInputError\x67message\x62no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			p := Protocol{name: c.protocol, service: services[c.service], queryMode: c.service == "cloudwatch"}
			if err := p.WriteError(w, c.err, "id"); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			for name, want := range c.header {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if w.Body.String() != c.body {
				t.Errorf("body\n got %q\nwant %q", w.Body.String(), c.body)
			}
		})
	}
}

// Every table can be carried, and each route leads to its own operation.
func TestTables(t *testing.T) {
	for name, s := range services {
		for _, op := range append(s.Operations, s.Absent()...) {
			if op.Method == "" {
				continue
			}
			path, query, _ := strings.Cut(op.URI, "?")
			path = strings.NewReplacer("{", "", "+}", "", "}", "").Replace(path)
			r := httptest.NewRequest(op.Method, path+"?"+query, nil)
			if got, err := s.match(&message{Request: r}); got != op.Name || err != nil {
				t.Errorf("%s: %s %s leads to %q, %v; want %s", name, op.Method, op.URI, got, err, op.Name)
			}
		}
		for _, op := range s.Operations {
			if reflect.New(op.Input).Interface() == nil || op.Call == nil {
				t.Errorf("%s: %s is not bound", name, op.Name)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	one := New(Config{API: &api.Service{Version: "2012-06-01"}})
	two := New(Config{API: &api.Service{Version: "2015-12-01"}})
	both := []*Service{one, two}
	for _, c := range []struct {
		target, body string
		want         *Service
	}{
		{"/?Action=A&Version=2015-12-01", "", two},
		{"/", "Action=A&Version=2015-12-01", two},
		{"/", "Version=2012-06-01&Action=A", one},
		{"/", "Action=A&Version=1999-01-01", one},
		{"/", "Action=A&TheVersion=2015-12-01", one},
	} {
		if got := Choose(both, httptest.NewRequest(http.MethodPost, c.target, nil), []byte(c.body)); got != c.want {
			t.Errorf("%s %s: got %s", c.target, c.body, got.Version)
		}
	}
}

// A Service serves many requests at once.
func TestConcurrency(t *testing.T) {
	s := New(Config{API: sts.Service})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				req, err := s.Parse(request(form + "Action=GetSessionToken&DurationSeconds=900"))
				if err != nil {
					t.Error(err)
					return
				}
				out := &sts.GetSessionTokenOutput{Credentials: &sts.Credentials{AccessKeyId: new("a")}}
				if err := req.Protocol.WriteOutput(httptest.NewRecorder(), req.Op, out, "id"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
