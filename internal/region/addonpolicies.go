package region

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

//go:embed addonpolicies.txt
var addonPoliciesText string

// inlinePolicy is a policy of one role.
type inlinePolicy struct {
	Name     string
	Resource string // PARTITION stands for aws, aws-cn, …
	Actions  []string
}

// addonPolicies are the policies by the switch of iam.withAddonPolicies.
var addonPolicies = func() map[string][]inlinePolicy {
	p, err := parseAddonPolicies(addonPoliciesText)
	if err != nil {
		panic(err) // a fault of the build; the tests see it
	}
	// Two names for one switch.
	p["awsLoadBalancerController"] = p["albIngress"]
	return p
}()

// addonManaged are the switches that attach one of AWS's policies instead.
var addonManaged = map[string]string{
	"imageBuilder": "AmazonEC2ContainerRegistryPowerUser",
	"cloudWatch":   "CloudWatchAgentServerPolicy",
}

func parseAddonPolicies(text string) (map[string][]inlinePolicy, error) {
	policies := map[string][]inlinePolicy{}
	name := ""
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		depth := len(line) - len(strings.TrimLeft(line, " "))
		switch list := policies[name]; {
		case len(fields) == 0 || fields[0] == "#":
		case depth == 0 && len(fields) == 1:
			name = fields[0]
			policies[name] = nil
		case depth == 2 && len(fields) == 2 && name != "":
			policies[name] = append(list, inlinePolicy{Name: fields[0], Resource: fields[1]})
		case depth == 4 && len(list) > 0:
			last := &list[len(list)-1]
			last.Actions = append(last.Actions, fields...)
		default:
			return nil, fmt.Errorf("addonpolicies.txt: %q is no switch, policy or actions", strings.TrimSpace(line))
		}
	}
	return policies, nil
}

// document is the policy as IAM takes it.
func (p inlinePolicy) document(partition string) string {
	type statement struct {
		Effect, Resource string
		Action           []string
	}
	data, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{{"Allow", strings.ReplaceAll(p.Resource, "PARTITION", partition), p.Actions}}})
	if err != nil {
		panic(err) // it is text
	}
	return string(data)
}

// inlinePolicies are those of the switches, each once. Of cert-manager's and
// ExternalDNS's, which have actions in common, eksctl makes one set.
func inlinePolicies(switches []string) []inlinePolicy {
	both := slices.Contains(switches, "certManager") && slices.Contains(switches, "externalDNS")
	var list []inlinePolicy
	for _, s := range switches {
		if both && s == "externalDNS" {
			continue
		}
		for _, p := range addonPolicies[s] {
			if both && p.Name == "PolicyCertManagerHostedZones" {
				p.Actions = append(slices.Clone(p.Actions), "route53:ListHostedZones", "route53:ListTagsForResource")
			}
			if !slices.ContainsFunc(list, func(have inlinePolicy) bool { return have.Name == p.Name }) {
				list = append(list, p)
			}
		}
	}
	return list
}
