package route53_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/tarn-eks/tarn/internal/service/route53"
)

func TestHealthChecks(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	create := func(reference string, c types.HealthCheckConfig) (*types.HealthCheck, error) {
		out, err := f.CreateHealthCheck(ctx, &sdk.CreateHealthCheckInput{CallerReference: &reference, HealthCheckConfig: &c})
		if err != nil {
			return nil, err
		}
		return out.HealthCheck, nil
	}
	https := types.HealthCheckConfig{Type: types.HealthCheckTypeHttps, FullyQualifiedDomainName: new("api.example.com"), ResourcePath: new("/healthz?a=b")}
	h, err := create("a", https)
	if err != nil {
		t.Fatal(err)
	}
	c := h.HealthCheckConfig
	if *c.Port != 443 || *c.RequestInterval != 30 || *c.FailureThreshold != 3 || *c.MeasureLatency || *c.Inverted || !*c.EnableSNI || len(c.Regions) != 0 || *h.HealthCheckVersion != 1 || *h.CallerReference != "a" {
		t.Errorf("%+v", c)
	}
	if again, err := create("a", https); err != nil || *again.Id != *h.Id {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	other := https
	other.Port = new(int32(8443))
	_, err = create("a", other)
	fails(t, "another with the reference", err, "HealthCheckAlreadyExists", "already exists")

	tcp, err := create("tcp", types.HealthCheckConfig{Type: types.HealthCheckTypeTcp, IPAddress: new("127.64.0.1"), Port: new(int32(443)), RequestInterval: new(int32(10)),
		Regions: []types.HealthCheckRegion{"eu-west-1", "us-east-1", "ap-northeast-1"}})
	if err != nil || len(tcp.HealthCheckConfig.Regions) != 3 || *tcp.HealthCheckConfig.EnableSNI {
		t.Errorf("%+v, %v", tcp, err)
	}
	calculated, err := create("calc", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: new(int32(1)), ChildHealthChecks: []string{*h.Id, *tcp.Id}})
	if err != nil || calculated.HealthCheckConfig.Port != nil || len(calculated.HealthCheckConfig.ChildHealthChecks) != 2 {
		t.Errorf("%+v, %v", calculated, err)
	}
	bad := func(edit func(*types.HealthCheckConfig)) types.HealthCheckConfig {
		c := https
		edit(&c)
		return c
	}
	for _, tc := range []struct {
		name          string
		config        types.HealthCheckConfig
		code, message string
	}{
		{"alarm", types.HealthCheckConfig{Type: types.HealthCheckTypeCloudwatchMetric}, "NotImplemented", "CLOUDWATCH_METRIC"},
		{"recovery", types.HealthCheckConfig{Type: types.HealthCheckTypeRecoveryControl}, "NotImplemented", "RECOVERY_CONTROL"},
		{"type", types.HealthCheckConfig{Type: "PING"}, "InvalidInput", "Value 'PING' is not facet-valid"},
		{"no endpoint", types.HealthCheckConfig{Type: types.HealthCheckTypeHttp}, "InvalidInput", "IPAddress or FullyQualifiedDomainName"},
		{"TCP without a port", types.HealthCheckConfig{Type: types.HealthCheckTypeTcp, IPAddress: new("192.0.2.1")}, "InvalidInput", "Port"},
		{"no search string", bad(func(c *types.HealthCheckConfig) { c.Type = types.HealthCheckTypeHttpStrMatch }), "InvalidInput", "SearchString"},
		{"interval", bad(func(c *types.HealthCheckConfig) { c.RequestInterval = new(int32(20)) }), "InvalidInput", "10 or 30"},
		{"threshold", bad(func(c *types.HealthCheckConfig) { c.FailureThreshold = new(int32(11)) }), "InvalidInput", "maxInclusive '10'"},
		{"port", bad(func(c *types.HealthCheckConfig) { c.Port = new(int32(65536)) }), "InvalidInput", "maxInclusive '65535'"},
		{"address", bad(func(c *types.HealthCheckConfig) { c.IPAddress = new("1.2.3") }), "InvalidInput", "IPAddress"},
		{"two regions", bad(func(c *types.HealthCheckConfig) { c.Regions = []types.HealthCheckRegion{"us-east-1", "us-west-1"} }), "InvalidInput", "three"},
		{"children", bad(func(c *types.HealthCheckConfig) { c.ChildHealthChecks = []string{"x"} }), "InvalidInput", "calculated"},
		{"no child", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: new(int32(1)), ChildHealthChecks: []string{"x"}}, "InvalidInput", "does not exist"},
		{"calculated child", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: new(int32(1)), ChildHealthChecks: []string{*calculated.Id}}, "InvalidInput", "calculated health check"},
		{"calculated endpoint", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: new(int32(1)), Port: new(int32(1))}, "InvalidInput", "no endpoint"},
	} {
		_, err := create("x", tc.config)
		fails(t, tc.name, err, tc.code, tc.message)
	}

	updated, err := f.UpdateHealthCheck(ctx, &sdk.UpdateHealthCheckInput{HealthCheckId: h.Id, HealthCheckVersion: new(int64(1)), FailureThreshold: new(int32(5)), Inverted: new(true),
		ResetElements: []types.ResettableElementName{"ResourcePath"}})
	if err != nil || *updated.HealthCheck.HealthCheckVersion != 2 || *updated.HealthCheck.HealthCheckConfig.FailureThreshold != 5 || updated.HealthCheck.HealthCheckConfig.ResourcePath != nil {
		t.Errorf("%+v, %v", updated, err)
	}
	_, err = f.UpdateHealthCheck(ctx, &sdk.UpdateHealthCheckInput{HealthCheckId: h.Id, HealthCheckVersion: new(int64(1))})
	fails(t, "an old version", err, "HealthCheckVersionMismatch", "")
	_, err = f.UpdateHealthCheck(ctx, &sdk.UpdateHealthCheckInput{HealthCheckId: h.Id, IPAddress: new("192.0.2.1")})
	fails(t, "an address", err, "InvalidInput", "IPAddress cannot be added")
	_, err = f.UpdateHealthCheck(ctx, &sdk.UpdateHealthCheckInput{HealthCheckId: new("x")})
	fails(t, "no health check", err, "NoSuchHealthCheck", "A health check with id x does not exist.")

	var listed []string
	for p := sdk.NewListHealthChecksPaginator(f, &sdk.ListHealthChecksInput{MaxItems: new(int32(1))}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, *out.HealthChecks[0].Id)
	}
	want := []string{*h.Id, *tcp.Id, *calculated.Id}
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("%v, want %v", listed, want)
	}

	f.seen = []route53.Observation{
		{Region: "us-east-1", Address: netip.MustParseAddr("127.0.0.1"), Status: "Failure: Connection timed out.", Time: f.now},
		{Region: "eu-west-1", Address: netip.MustParseAddr("127.0.0.1"), Status: "Success: HTTP Status Code 200, OK", Time: f.now},
	}
	status, err := f.GetHealthCheckStatus(ctx, &sdk.GetHealthCheckStatusInput{HealthCheckId: h.Id})
	if err != nil || len(status.HealthCheckObservations) != 2 || *status.HealthCheckObservations[1].StatusReport.Status != f.seen[1].Status || status.HealthCheckObservations[1].Region != "eu-west-1" ||
		status.HealthCheckObservations[0].StatusReport.CheckedTime.UnixMilli() != f.now.UnixMilli() {
		t.Errorf("%+v, %v", status, err)
	}
	reason, err := f.GetHealthCheckLastFailureReason(ctx, &sdk.GetHealthCheckLastFailureReasonInput{HealthCheckId: h.Id})
	if err != nil || len(reason.HealthCheckObservations) != 1 || !strings.HasPrefix(*reason.HealthCheckObservations[0].StatusReport.Status, "Failure") {
		t.Errorf("%+v, %v", reason, err)
	}
	_, err = f.GetHealthCheckStatus(ctx, &sdk.GetHealthCheckStatusInput{HealthCheckId: new("x")})
	fails(t, "status of none", err, "NoSuchHealthCheck", "x")
	ranges, err := f.GetCheckerIpRanges(ctx, &sdk.GetCheckerIpRangesInput{})
	if err != nil || !slices.Equal(ranges.CheckerIpRanges, []string{"127.0.0.1/32"}) {
		t.Errorf("%+v, %v", ranges, err)
	}

	if _, err := f.DeleteHealthCheck(ctx, &sdk.DeleteHealthCheckInput{HealthCheckId: h.Id}); err != nil {
		t.Fatal(err)
	}
	_, err = f.DeleteHealthCheck(ctx, &sdk.DeleteHealthCheckInput{HealthCheckId: h.Id})
	fails(t, "deleted again", err, "NoSuchHealthCheck", *h.Id)
	_, err = create("a", https)
	fails(t, "the reference of a deleted one", err, "HealthCheckAlreadyExists", "")
	count, err := f.GetHealthCheckCount(ctx, &sdk.GetHealthCheckCountInput{})
	if err != nil || *count.HealthCheckCount != 2 {
		t.Errorf("%+v, %v", count, err)
	}
}
