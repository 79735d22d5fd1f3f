package ec2

import (
	"context"
	"strings"

	"github.com/tarn-eks/tarn/internal/arn"
)

// What the tagging service asks.

// Tagged are the tags of all that has some, by ARN.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, k := range s.kinds() {
		byID, err := k.tags(ctx)
		if err != nil {
			return nil, err
		}
		for id, tags := range byID {
			if len(tags) > 0 {
				all[s.arnOf(string(k.resource), id)] = tags
			}
		}
	}
	return all, nil
}

// TaggedID is the id in the ARN of something that can be tagged; whether it exists
// CreateTags knows.
func (s *Service) TaggedID(name string) (string, error) {
	a, err := arn.Parse(name)
	if err != nil {
		return "", err
	}
	resource, id, _ := strings.Cut(a.Resource, "/")
	for _, k := range s.kinds() {
		if string(k.resource) == resource {
			return id, k.check(id)
		}
	}
	return "", bad("InvalidParameterException", "'%s' is not a recognized EC2ResourceType id ", resource)
}
