package imds

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TestSDK asks with AWS's own client, which gets itself a token and reads the documents strictly.
func TestSDK(t *testing.T) {
	inst := machines()[netip.MustParseAddr("10.0.0.3")]
	inst.Options.HTTPTokens = Required
	h := New(Config{
		Lookup: func(netip.Addr) (Instance, bool) { return inst, true },
		Credentials: func(context.Context, Instance) (Credentials, error) {
			return Credentials{AccessKeyID: "ASIA", LastUpdated: launched, Expiration: launched.Add(time.Hour)}, nil
		},
	})
	srv := httptest.NewServer(h)
	defer srv.Close()
	client := imds.New(imds.Options{Endpoint: srv.URL, EnableFallback: 0})
	ctx := t.Context()

	region, err := client.GetRegion(ctx, nil)
	if err != nil || region.Region != "ap-northeast-2" {
		t.Errorf("GetRegion = %+v, %v", region, err)
	}
	doc, err := client.GetInstanceIdentityDocument(ctx, nil)
	if err != nil || doc.InstanceID != "i-full" || !doc.PendingTime.Equal(launched) || doc.PrivateIP != "192.168.12.34" {
		t.Errorf("GetInstanceIdentityDocument = %+v, %v", doc, err)
	}
	info, err := client.GetIAMInfo(ctx, nil)
	if err != nil || info.InstanceProfileID != inst.Profile.ID || !info.LastUpdated.Equal(launched) {
		t.Errorf("GetIAMInfo = %+v, %v", info, err)
	}
	for path, want := range map[string]string{
		"instance-id":                 "i-full",
		"placement/availability-zone": "ap-northeast-2a",
	} {
		out, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
		if err != nil {
			t.Errorf("GetMetadata(%s): %v", path, err)
			continue
		}
		if body, _ := io.ReadAll(out.Content); string(body) != want {
			t.Errorf("GetMetadata(%s) = %q, want %q", path, body, want)
		}
	}
	data, err := client.GetUserData(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(data.Content); string(body) != string(inst.UserData) {
		t.Errorf("GetUserData = %q", body)
	}
	_, err = client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "public-ipv4"})
	var status *smithyhttp.ResponseError
	if !errors.As(err, &status) || status.HTTPStatusCode() != http.StatusNotFound {
		t.Errorf("GetMetadata of what does not exist: %v, want a 404", err)
	}
}
