package acm

import (
	"context"
	"maps"
	"slices"
	"strings"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

// AddTagsToCertificate implements acmapi.Handler.
func (s *Service) AddTagsToCertificate(ctx context.Context, in *acmapi.AddTagsToCertificateInput) (*acmapi.AddTagsToCertificateOutput, error) {
	tags, err := checkTagging(in.CertificateArn, in.Tags)
	if err != nil {
		return nil, err
	}
	return &acmapi.AddTagsToCertificateOutput{}, s.modify(ctx, in.CertificateArn, func(c *Certificate) error {
		all := maps.Clone(c.Tags)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, tags)
		if len(all) > maxTags {
			return tooManyTags(all)
		}
		c.Tags = all
		return nil
	})
}

// RemoveTagsFromCertificate implements acmapi.Handler. A tag that is given with
// a value goes only if it has that value.
func (s *Service) RemoveTagsFromCertificate(ctx context.Context, in *acmapi.RemoveTagsFromCertificateInput) (*acmapi.RemoveTagsFromCertificateOutput, error) {
	if _, err := checkTagging(in.CertificateArn, in.Tags); err != nil {
		return nil, err
	}
	return &acmapi.RemoveTagsFromCertificateOutput{}, s.modify(ctx, in.CertificateArn, func(c *Certificate) error {
		for _, t := range in.Tags {
			if t.Value == nil || *t.Value == c.Tags[val(t.Key)] {
				delete(c.Tags, val(t.Key))
			}
		}
		return nil
	})
}

// checkTagging checks the two members of requests about tags.
func checkTagging(certificate *string, tags []acmapi.Tag) (map[string]string, error) {
	var v violations
	v.arn(certificate)
	if len(tags) == 0 {
		v.add("[]", "tags", atLeast(1))
	}
	v.tags(tags)
	if err := v.err(); err != nil {
		return nil, err
	}
	return tagMap(tags)
}

func tooManyTags(tags map[string]string) error {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, k+"="+tags[k])
	}
	return acmapi.TooManyTagsException.New("the TagSet: '{%s}' contains too many Tags", strings.Join(all, ", "))
}

// ListTagsForCertificate implements acmapi.Handler.
func (s *Service) ListTagsForCertificate(ctx context.Context, in *acmapi.ListTagsForCertificateInput) (*acmapi.ListTagsForCertificateOutput, error) {
	it, err := s.certificate(ctx, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	out := &acmapi.ListTagsForCertificateOutput{Tags: []acmapi.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(it.Value.Tags)) {
		out.Tags = append(out.Tags, acmapi.Tag{Key: new(k), Value: new(it.Value.Tags[k])})
	}
	return out, nil
}

// Tagged are the tags of the certificates that have some, by ARN. The tagging
// service asks.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	items, _, err := s.Certificates.List(ctx, "")
	all := map[string]map[string]string{}
	for _, it := range items {
		if len(it.Value.Tags) > 0 {
			all[s.ARN(it.Value.ID)] = it.Value.Tags
		}
	}
	return all, err
}
