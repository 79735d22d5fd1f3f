package region

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/service/route53"
	"github.com/tarn-eks/tarn/internal/service/tagging"
)

// taggers are the services as the tagging service asks of them. They tag by the
// services' own calls, which the one who asks must be allowed to make.
func (r *Region) taggers() map[string]tagging.Source {
	return map[string]tagging.Source{
		"ec2": tagger{tagged: r.ec2.Tagged, tag: r.tagEC2, untag: r.untagEC2},
		"eks": tagger{
			tagged: r.eks.Tagged,
			tag: func(ctx context.Context, arn string, tags map[string]string) error {
				return r.asCaller(ctx, "eks", "TagResource", &eksapi.TagResourceInput{ResourceArn: &arn, Tags: tags})
			},
			untag: func(ctx context.Context, arn string, keys []string) error {
				return r.asCaller(ctx, "eks", "UntagResource", &eksapi.UntagResourceInput{ResourceArn: &arn, TagKeys: keys})
			},
		},
		"ecr": tagger{
			tagged: r.ecr.Tagged,
			tag: func(ctx context.Context, arn string, tags map[string]string) error {
				return r.asCaller(ctx, "ecr", "TagResource", &ecrapi.TagResourceInput{
					ResourceArn: &arn, Tags: tagList(tags, func(k, v *string) ecrapi.Tag { return ecrapi.Tag{Key: k, Value: v} }),
				})
			},
			untag: func(ctx context.Context, arn string, keys []string) error {
				return r.asCaller(ctx, "ecr", "UntagResource", &ecrapi.UntagResourceInput{ResourceArn: &arn, TagKeys: keys})
			},
		},
		"acm": tagger{
			tagged: r.acm.Tagged,
			tag: func(ctx context.Context, arn string, tags map[string]string) error {
				return r.asCaller(ctx, "acm", "AddTagsToCertificate", &acmapi.AddTagsToCertificateInput{
					CertificateArn: &arn, Tags: tagList(tags, func(k, v *string) acmapi.Tag { return acmapi.Tag{Key: k, Value: v} }),
				})
			},
			untag: func(ctx context.Context, arn string, keys []string) error {
				return r.asCaller(ctx, "acm", "RemoveTagsFromCertificate", &acmapi.RemoveTagsFromCertificateInput{
					CertificateArn: &arn, Tags: keyList(keys, func(k *string) acmapi.Tag { return acmapi.Tag{Key: k} }),
				})
			},
		},
		"cloudwatch": tagger{
			tagged: r.cloudwatch.Tagged,
			tag: func(ctx context.Context, arn string, tags map[string]string) error {
				return r.asCaller(ctx, "cloudwatch", "TagResource", &cloudwatchapi.TagResourceInput{
					ResourceARN: &arn, Tags: tagList(tags, func(k, v *string) cloudwatchapi.Tag { return cloudwatchapi.Tag{Key: k, Value: v} }),
				})
			},
			untag: func(ctx context.Context, arn string, keys []string) error {
				return r.asCaller(ctx, "cloudwatch", "UntagResource", &cloudwatchapi.UntagResourceInput{ResourceARN: &arn, TagKeys: keys})
			},
		},
		"elasticloadbalancing": tagger{tagged: r.taggedELB, tag: r.tagELB, untag: r.untagELB},
		"route53": tagger{
			tagged: r.route53.Tagged,
			tag: func(ctx context.Context, arn string, tags map[string]string) error {
				return r.tagRoute53(ctx, arn, tags, nil)
			},
			untag: func(ctx context.Context, arn string, keys []string) error { return r.tagRoute53(ctx, arn, nil, keys) },
		},
		"iam": tagger{tagged: r.iam.Tagged, tag: r.tagIAM, untag: r.untagIAM},
	}
}

// tagger is a tagging.Source.
type tagger struct {
	tagged func(context.Context) (map[string]map[string]string, error)
	tag    func(ctx context.Context, arn string, tags map[string]string) error
	untag  func(ctx context.Context, arn string, keys []string) error
}

// Tagged implements tagging.Source.
func (t tagger) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	return t.tagged(ctx)
}

// Tag implements tagging.Source.
func (t tagger) Tag(ctx context.Context, arn string, tags map[string]string) error {
	return t.tag(ctx, arn, tags)
}

// Untag implements tagging.Source.
func (t tagger) Untag(ctx context.Context, arn string, keys []string) error {
	return t.untag(ctx, arn, keys)
}

// asCaller makes an AWS call as whom the context says, with their permissions.
func (r *Region) asCaller(ctx context.Context, service, operation string, input any) error {
	_, err := r.gateway.Invoke(ctx, caller.From(ctx), service, operation, input)
	return err
}

// tagList is tags as most APIs have them, by key.
func tagList[T any](tags map[string]string, of func(k, v *string) T) []T {
	list := make([]T, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, of(&k, new(tags[k])))
	}
	return list
}

// keyList is keys of tags as some APIs have them.
func keyList[T any](keys []string, of func(k *string) T) []T {
	list := make([]T, 0, len(keys))
	for _, k := range keys {
		list = append(list, of(&k))
	}
	return list
}

// classicName is the name of the Classic Load Balancer with an ARN: what else Elastic
// Load Balancing has is of its later version, and has slashes in its name.
func classicName(arn string) (string, bool) {
	_, name, ok := strings.Cut(arn, ":loadbalancer/")
	return name, ok && !strings.Contains(name, "/")
}

func (r *Region) taggedELB(ctx context.Context) (map[string]map[string]string, error) {
	all, err := r.elb.Tagged(ctx)
	if err != nil {
		return nil, err
	}
	others, err := r.elbv2.Tagged(ctx)
	maps.Copy(all, others)
	return all, err
}

func (r *Region) tagELB(ctx context.Context, arn string, tags map[string]string) error {
	if name, ok := classicName(arn); ok {
		return r.asCaller(ctx, "elb", "AddTags", &elbapi.AddTagsInput{
			LoadBalancerNames: []string{name}, Tags: tagList(tags, func(k, v *string) elbapi.Tag { return elbapi.Tag{Key: k, Value: v} }),
		})
	}
	return r.asCaller(ctx, "elbv2", "AddTags", &elbv2api.AddTagsInput{
		ResourceArns: []string{arn}, Tags: tagList(tags, func(k, v *string) elbv2api.Tag { return elbv2api.Tag{Key: k, Value: v} }),
	})
}

func (r *Region) untagELB(ctx context.Context, arn string, keys []string) error {
	if name, ok := classicName(arn); ok {
		return r.asCaller(ctx, "elb", "RemoveTags", &elbapi.RemoveTagsInput{
			LoadBalancerNames: []string{name}, Tags: keyList(keys, func(k *string) elbapi.TagKeyOnly { return elbapi.TagKeyOnly{Key: k} }),
		})
	}
	return r.asCaller(ctx, "elbv2", "RemoveTags", &elbv2api.RemoveTagsInput{ResourceArns: []string{arn}, TagKeys: keys})
}

// tagRoute53 makes as many calls as Route 53 wants: it takes ten tags at a time.
func (r *Region) tagRoute53(ctx context.Context, arn string, tags map[string]string, keys []string) error {
	calls, err := route53.TagCalls(arn, tags, keys)
	if err != nil {
		return err
	}
	for _, in := range calls {
		if err := r.asCaller(ctx, "route53", "ChangeTagsForResource", in); err != nil {
			return err
		}
	}
	return nil
}

func (r *Region) tagEC2(ctx context.Context, arn string, tags map[string]string) error {
	id, err := r.ec2.TaggedID(arn)
	if err != nil {
		return err
	}
	return r.asCaller(ctx, "ec2", "CreateTags", &ec2api.CreateTagsInput{
		Resources: []string{id}, Tags: tagList(tags, func(k, v *string) ec2api.Tag { return ec2api.Tag{Key: k, Value: v} }),
	})
}

func (r *Region) untagEC2(ctx context.Context, arn string, keys []string) error {
	id, err := r.ec2.TaggedID(arn)
	if err != nil {
		return err
	}
	return r.asCaller(ctx, "ec2", "DeleteTags", &ec2api.DeleteTagsInput{
		Resources: []string{id}, Tags: keyList(keys, func(k *string) ec2api.Tag { return ec2api.Tag{Key: k} }),
	})
}

func (r *Region) tagIAM(ctx context.Context, arn string, tags map[string]string) error {
	what, name, err := r.iam.TaggedName(ctx, arn)
	if err != nil {
		return err
	}
	list := tagList(tags, func(k, v *string) iamapi.Tag { return iamapi.Tag{Key: k, Value: v} })
	switch what {
	case "user":
		return r.asCaller(ctx, "iam", "TagUser", &iamapi.TagUserInput{UserName: &name, Tags: list})
	case "role":
		return r.asCaller(ctx, "iam", "TagRole", &iamapi.TagRoleInput{RoleName: &name, Tags: list})
	case "instance-profile":
		return r.asCaller(ctx, "iam", "TagInstanceProfile", &iamapi.TagInstanceProfileInput{InstanceProfileName: &name, Tags: list})
	case "policy":
		return r.asCaller(ctx, "iam", "TagPolicy", &iamapi.TagPolicyInput{PolicyArn: &arn, Tags: list})
	case "oidc-provider":
		return r.asCaller(ctx, "iam", "TagOpenIDConnectProvider", &iamapi.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, Tags: list})
	}
	return errNotTaggable
}

func (r *Region) untagIAM(ctx context.Context, arn string, keys []string) error {
	what, name, err := r.iam.TaggedName(ctx, arn)
	if err != nil {
		return err
	}
	switch what {
	case "user":
		return r.asCaller(ctx, "iam", "UntagUser", &iamapi.UntagUserInput{UserName: &name, TagKeys: keys})
	case "role":
		return r.asCaller(ctx, "iam", "UntagRole", &iamapi.UntagRoleInput{RoleName: &name, TagKeys: keys})
	case "instance-profile":
		return r.asCaller(ctx, "iam", "UntagInstanceProfile", &iamapi.UntagInstanceProfileInput{InstanceProfileName: &name, TagKeys: keys})
	case "policy":
		return r.asCaller(ctx, "iam", "UntagPolicy", &iamapi.UntagPolicyInput{PolicyArn: &arn, TagKeys: keys})
	case "oidc-provider":
		return r.asCaller(ctx, "iam", "UntagOpenIDConnectProvider", &iamapi.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, TagKeys: keys})
	}
	return errNotTaggable
}

// errNotTaggable is the answer for a kind of IAM's that has no tags, such as groups.
var errNotTaggable = api.Errorf(http.StatusBadRequest, "InvalidParameterException", "Unrecognized service or resource type for tagging")
