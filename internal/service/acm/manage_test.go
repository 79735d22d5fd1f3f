package acm_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	"github.com/tarn-eks/tarn/internal/service/acm"
)

func TestNamingNone(t *testing.T) {
	f := newFixture(t)
	for _, tc := range []struct{ arn, code, message string }{
		{"x", "ValidationException", "2 validation errors detected: Value 'x' at 'certificateArn' failed to satisfy constraint: Member must have length greater than or equal to 20; Value 'x' at 'certificateArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:[\\w+=/,.@-]+:acm:"},
		{"arn:aws:elb:ap-northeast-2:111122223333:certificate/x", "ValidationException", "1 validation error detected"},
		{prefix + "12345678-1234-1234-1234-123456789012", "ResourceNotFoundException", "Could not find certificate " + prefix + "12345678-1234-1234-1234-123456789012 in account " + account + "."},
		{"arn:aws:acm:us-east-1:111122223333:certificate/x", "ResourceNotFoundException", "Could not find certificate"},
		{"arn:aws:acm:ap-northeast-2:999999999999:certificate/x", "ResourceNotFoundException", "Could not find certificate"},
		{"arn:aws:acm:ap-northeast-2:111122223333:other/x", "ResourceNotFoundException", "Could not find certificate"},
	} {
		_, err := f.DescribeCertificate(t.Context(), &sdk.DescribeCertificateInput{CertificateArn: &tc.arn})
		fails(t, "describe "+tc.arn, err, tc.code, tc.message)
		_, err = f.DeleteCertificate(t.Context(), &sdk.DeleteCertificateInput{CertificateArn: &tc.arn})
		fails(t, "delete "+tc.arn, err, tc.code, tc.message)
		_, err = f.RenewCertificate(t.Context(), &sdk.RenewCertificateInput{CertificateArn: &tc.arn})
		fails(t, "renew "+tc.arn, err, tc.code, tc.message)
		_, err = f.ListTagsForCertificate(t.Context(), &sdk.ListTagsForCertificateInput{CertificateArn: &tc.arn})
		fails(t, "tags of "+tc.arn, err, tc.code, tc.message)
		if ok, err := f.service.Issued(t.Context(), tc.arn); ok || err != nil {
			t.Errorf("%s: %t, %v", tc.arn, ok, err)
		}
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	ctx, arn := t.Context(), f.request("example.com")
	tag := func(pairs ...string) (tags []types.Tag) {
		for _, pair := range pairs {
			k, v, ok := strings.Cut(pair, "=")
			tags = append(tags, types.Tag{Key: &k})
			if ok {
				tags[len(tags)-1].Value = &v
			}
		}
		return tags
	}
	has := func(what string, want map[string]string) {
		t.Helper()
		out, err := f.ListTagsForCertificate(ctx, &sdk.ListTagsForCertificateInput{CertificateArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, tag := range out.Tags {
			got[*tag.Key] = *tag.Value
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		all, err := f.service.Tagged(ctx)
		if err != nil || !maps.Equal(all[arn], want) {
			t.Errorf("%s: tagged %v, %v", what, all, err)
		}
	}
	has("at first", map[string]string{})
	if _, err := f.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: &arn, Tags: tag("a=1", "b", "c=3", "d=4")}); err != nil {
		t.Fatal(err)
	}
	has("added", map[string]string{"a": "1", "b": "", "c": "3", "d": "4"})
	if _, err := f.RemoveTagsFromCertificate(ctx, &sdk.RemoveTagsFromCertificateInput{CertificateArn: &arn, Tags: tag("a=other", "b", "c=3", "d", "none")}); err != nil {
		t.Fatal(err)
	}
	has("removed, but for one that has another value", map[string]string{"a": "1"})
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf("k%d=v", i))
	}
	_, err := f.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: &arn, Tags: tag(many...)})
	fails(t, "51 at once", err, "TooManyTagsException", "contains too many Tags")
	_, err = f.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: &arn, Tags: tag(many[:50]...)})
	fails(t, "51 in all", err, "TooManyTagsException", "the TagSet: '{a=1, k0=v, ")
	_, err = f.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: &arn, Tags: tag("AWS:x=1")})
	fails(t, "AWS's", err, "ValidationException", "AWS internal tags cannot be changed with this API")
	_, err = f.RemoveTagsFromCertificate(ctx, &sdk.RemoveTagsFromCertificateInput{CertificateArn: &arn, Tags: tag("aws:x")})
	fails(t, "remove AWS's", err, "ValidationException", "AWS internal tags cannot be changed with this API")
	_, err = f.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: &arn, Tags: tag("x=1", "x=2")})
	fails(t, "twice", err, "InvalidTagException", "Duplicate Tag Key")
	_, err = f.AddTagsToCertificate(ctx, &sdk.AddTagsToCertificateInput{CertificateArn: &arn, Tags: []types.Tag{}})
	fails(t, "none", err, "ValidationException", "Value '[]' at 'tags'")
	has("in the end", map[string]string{"a": "1"})
}

func TestAccountConfiguration(t *testing.T) {
	f := newFixture(t)
	has := func(want int32) {
		t.Helper()
		out, err := f.GetAccountConfiguration(t.Context(), &sdk.GetAccountConfigurationInput{})
		if err != nil || *out.ExpiryEvents.DaysBeforeExpiry != want {
			t.Errorf("%+v, %v, want %d", out, err, want)
		}
	}
	put := func(token string, days int32) error {
		_, err := f.PutAccountConfiguration(t.Context(), &sdk.PutAccountConfigurationInput{IdempotencyToken: &token, ExpiryEvents: &types.ExpiryEventsConfiguration{DaysBeforeExpiry: &days}})
		return err
	}
	has(45)
	for _, days := range []int32{10, 30} {
		if err := put("t", days); err != nil {
			t.Fatal(err)
		}
		has(days)
	}
	fails(t, "none", put("t", 0), "ValidationException", "Value '0' at 'expiryEvents.daysBeforeExpiry' failed to satisfy constraint: Member must have value greater than or equal to 1")
	fails(t, "token", put("a-b", 1), "ValidationException", "at 'idempotencyToken'")
	has(30)
}

func TestUpdateOptions(t *testing.T) {
	f := newFixture(t)
	arn := f.request("example.com")
	update := func() error {
		_, err := f.UpdateCertificateOptions(t.Context(), &sdk.UpdateCertificateOptionsInput{CertificateArn: &arn, Options: &types.CertificateOptions{
			CertificateTransparencyLoggingPreference: types.CertificateTransparencyLoggingPreferenceDisabled, //nolint:staticcheck // the API still takes and shows it
		}})
		return err
	}
	if err := update(); err != nil {
		t.Fatal(err)
	}
	if o := f.describe(arn).Options; o.CertificateTransparencyLoggingPreference != types.CertificateTransparencyLoggingPreferenceDisabled { //nolint:staticcheck // the API still takes and shows it
		t.Errorf("%+v", o)
	}
	f.change(arn, func(c *acm.Certificate) { c.Status = "FAILED" })
	fails(t, "failed", update(), "InvalidStateException", "cannot be updated in the status FAILED")
	f.change(arn, func(c *acm.Certificate) { c.Type = "IMPORTED" })
	fails(t, "imported", update(), "InvalidStateException", "was not issued by ACM")
}
