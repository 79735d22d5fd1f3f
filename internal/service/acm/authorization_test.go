package acm_test

import (
	"reflect"
	"testing"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/policy"
)

func TestAuthorization(t *testing.T) {
	f := newFixture(t)
	plain, tagged := f.request("plain.example.com"), f.request("tagged.example.com")
	tags := []acmapi.Tag{{Key: new("Stage"), Value: new("test")}}
	if _, err := f.service.AddTagsToCertificate(t.Context(), &acmapi.AddTagsToCertificateInput{CertificateArn: &tagged, Tags: tags}); err != nil {
		t.Fatal(err)
	}
	has := map[string][]string{"aws:resourcetag/stage": {"test"}}
	asks := map[string][]string{"aws:requesttag/stage": {"test"}, "aws:tagkeys": {"Stage"}}
	none := map[string][]string{}
	for _, tc := range []struct {
		name, operation string
		input           any
		resource        string
		context         map[string][]string
	}{
		{"list", "ListCertificates", &acmapi.ListCertificatesInput{}, "*", nil},
		{"request", "RequestCertificate", &acmapi.RequestCertificateInput{
			DomainName: new("A.example.com"), SubjectAlternativeNames: []string{"b.example.com"}, ValidationMethod: acmapi.ValidationMethodDns,
			KeyAlgorithm: acmapi.KeyAlgorithmRsa2048, Tags: tags, Options: &acmapi.CertificateOptions{CertificateTransparencyLoggingPreference: "ENABLED", Export: "ENABLED"},
		}, prefix + "*", map[string][]string{
			"aws:requesttag/stage": {"test"}, "aws:tagkeys": {"Stage"}, "acm:domainnames": {"a.example.com", "b.example.com"},
			"acm:validationmethod": {"DNS"}, "acm:keyalgorithm": {"RSA_2048"}, "acm:certificatetransparencylogging": {"ENABLED"}, "acm:export": {"ENABLED"},
		}},
		{"import", "ImportCertificate", &acmapi.ImportCertificateInput{Tags: tags}, prefix + "*", asks},
		{"re-import", "ImportCertificate", &acmapi.ImportCertificateInput{CertificateArn: &tagged}, tagged, has},
		{"describe", "DescribeCertificate", &acmapi.DescribeCertificateInput{CertificateArn: &tagged}, tagged, has},
		{"delete", "DeleteCertificate", &acmapi.DeleteCertificateInput{CertificateArn: &plain}, plain, none},
		{"tag", "AddTagsToCertificate", &acmapi.AddTagsToCertificateInput{CertificateArn: &plain, Tags: tags}, plain, asks},
		{"untag", "RemoveTagsFromCertificate", &acmapi.RemoveTagsFromCertificateInput{CertificateArn: &tagged, Tags: tags}, tagged,
			map[string][]string{"aws:requesttag/stage": {"test"}, "aws:tagkeys": {"Stage"}, "aws:resourcetag/stage": {"test"}}},
		{"what does not exist", "GetCertificate", &acmapi.GetCertificateInput{CertificateArn: new(prefix + "x")}, prefix + "x", none},
		{"not an ARN", "GetCertificate", &acmapi.GetCertificateInput{CertificateArn: new("x")}, "x", none},
	} {
		got, err := f.service.Authorization(t.Context(), tc.operation, tc.input)
		want := []policy.Request{{Action: "acm:" + tc.operation, Resources: []string{tc.resource}, ResourceAccount: account, Context: tc.context}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", tc.name, got, err, want)
		}
	}
}

// TestEveryOperationHasAuthorization: with nothing in the request, and whatever
// members it has.
func TestEveryOperationHasAuthorization(t *testing.T) {
	f := newFixture(t)
	for _, op := range acmapi.Service.Operations {
		got, err := f.service.Authorization(t.Context(), op.Name, reflect.New(op.Input).Interface())
		if err != nil || len(got) != 1 || got[0].Action != "acm:"+op.Name || len(got[0].Resources) != 1 {
			t.Errorf("%s: %+v, %v", op.Name, got, err)
		}
	}
}
