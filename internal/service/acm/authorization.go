package acm

import (
	"context"
	"errors"
	"reflect"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// Authorization returns what a call must be allowed to do. The principal is for
// the caller to fill in.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscertificatemanager.html
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	r := policy.Request{Action: "acm:" + operation, ResourceAccount: s.scope.Account}
	switch in := input.(type) {
	case *acmapi.ListCertificatesInput, *acmapi.GetAccountConfigurationInput, *acmapi.PutAccountConfigurationInput:
		r.Resources = []string{"*"}
		return []policy.Request{r}, nil
	case *acmapi.RequestCertificateInput:
		r.Resources = []string{s.ARN("*")}
		r.Context = asking(in.Tags)
		requested(r.Context, in)
		return []policy.Request{r}, nil
	case *acmapi.ImportCertificateInput:
		if in.CertificateArn == nil {
			r.Resources, r.Context = []string{s.ARN("*")}, asking(in.Tags)
			return []policy.Request{r}, nil
		}
		r.Context = asking(in.Tags)
	case *acmapi.AddTagsToCertificateInput:
		r.Context = asking(in.Tags)
	case *acmapi.RemoveTagsFromCertificateInput:
		r.Context = asking(in.Tags)
	}
	member, _ := reflect.ValueOf(input).Elem().FieldByName("CertificateArn").Interface().(*string)
	r.Resources = []string{val(member)}
	err := s.addResourceTags(ctx, &r, val(member))
	return []policy.Request{r}, err
}

// requested adds what of a request policies may depend on.
func requested(context map[string][]string, in *acmapi.RequestCertificateInput) {
	context["acm:domainnames"] = names(in)
	add := func(key, value string) {
		if value != "" {
			context[key] = []string{value}
		}
	}
	add("acm:validationmethod", string(in.ValidationMethod))
	add("acm:keyalgorithm", string(in.KeyAlgorithm))
	add("acm:certificateauthority", val(in.CertificateAuthorityArn))
	if in.Options != nil {
		add("acm:certificatetransparencylogging", string(in.Options.CertificateTransparencyLoggingPreference))
		add("acm:export", string(in.Options.Export))
	}
}

// asking is the context of a request that gives tags.
func asking(tags []acmapi.Tag) map[string][]string {
	context := map[string][]string{}
	for _, t := range tags {
		policy.AddRequestTag(context, val(t.Key), val(t.Value))
	}
	return context
}

// addResourceTags adds the tags that the certificate has.
func (s *Service) addResourceTags(ctx context.Context, r *policy.Request, certificate string) error {
	if r.Context == nil {
		r.Context = map[string][]string{}
	}
	id := s.id(certificate)
	if id == "" {
		return nil // the handler says what is wrong
	}
	it, err := s.Certificates.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // authorization comes before existence
	}
	for k, v := range it.Value.Tags {
		policy.AddResourceTag(r.Context, k, v)
	}
	return err
}
