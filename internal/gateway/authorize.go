package gateway

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/policy"
)

// authorize asks the policies whether the call may go on.
func (g *Gateway) authorize(ctx context.Context, c *call) error {
	requests, err := c.service.handler.Authorization(ctx, c.op.Name, c.input)
	if err != nil || len(requests) == 0 {
		return err
	}
	policies := &policy.Policies{}
	if c.caller.Principal.Type != policy.Anonymous {
		if policies, err = g.cfg.Credentials.Policies(ctx, c.caller); err != nil {
			return err
		}
	}
	if len(c.session) > 0 {
		limited := *policies
		limited.Session = c.session
		policies = &limited
	}
	keys, err := g.conditionKeys(ctx, c)
	if err != nil {
		return err
	}
	for i := range requests {
		r := &requests[i]
		r.Principal = c.caller.Principal
		r.Context = join(r.Context, keys)
		if d := policy.Evaluate(r, policies); !d.Allowed() {
			return g.denied(c, r, d)
		}
	}
	return nil
}

// denied is the refusal in the service's dialect.
func (g *Gateway) denied(c *call, r *policy.Request, d policy.Decision) *api.Error {
	text := d.AccessDenied(r)
	protocol := c.protocol.Name()
	if protocol == "" { // a call by Invoke
		protocol = c.service.Protocols[0]
	}
	switch protocol {
	case api.EC2Query:
		encoded := ""
		if d.Resource != "" { // as EC2 does: operations without a resource have none
			encoded = g.cfg.Messages.Encode(r, d)
		}
		return api.Errorf(http.StatusForbidden, "UnauthorizedOperation", "%s", d.UnauthorizedOperation(r, encoded))
	case api.AWSQuery, api.RestXML:
		return api.Errorf(http.StatusForbidden, "AccessDenied", "%s", text)
	}
	e := api.Errorf(http.StatusBadRequest, "AccessDenied", "%s", text)
	e.Shape = "AccessDeniedException"
	if protocol == api.RestJSON1 {
		e.Status = http.StatusForbidden
	}
	return e
}

// join adds the gateway's keys to those of the service, and wins over them.
func join(own, keys map[string][]string) map[string][]string {
	if len(own) == 0 {
		return keys
	}
	all := make(map[string][]string, len(own)+len(keys))
	for k, v := range own {
		k = strings.ToLower(k)
		all[k] = append(all[k], v...)
	}
	maps.Copy(all, keys)
	return all
}

// conditionKeys are the keys that every request has, or that follow from how it
// came, in lower case. Those of the principal itself package policy knows.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (g *Gateway) conditionKeys(ctx context.Context, c *call) (map[string][]string, error) {
	now := c.start.UTC()
	byService := c.caller.Principal.Type == policy.Service
	keys := map[string][]string{
		"aws:currenttime": {now.Format(time.RFC3339)},
		"aws:epochtime":   {strconv.FormatInt(now.Unix(), 10)},
		// Nothing leaves the machine on its way here, and policies that ask for TLS
		// must do what they do on AWS, where every SDK uses it.
		"aws:securetransport": {"true"},
		"aws:requestedregion": {c.region},
		"aws:viaawsservice":   {strconv.FormatBool(byService)},
	}
	set := func(key, value string) {
		if value != "" {
			keys[key] = []string{value}
		}
	}
	if !byService {
		set("aws:sourceip", c.caller.SourceIP)
	}
	set("aws:useragent", c.caller.UserAgent)
	set("aws:referer", c.referer)
	if s := c.caller.Session; s != nil {
		set("aws:tokenissuetime", s.Issued.UTC().Format(time.RFC3339))
		set("aws:multifactorauthpresent", "false") // known of sessions only
		if s.InstanceID != "" {
			set("ec2:sourceinstancearn", "arn:aws:ec2:"+g.cfg.Region+":"+g.cfg.Account+":instance/"+s.InstanceID)
			set("ec2:roledelivery", "2.0")
		}
		if s.Provider != "" {
			set("aws:federatedprovider", s.Provider)
			set(strings.ToLower(issuer(s.Provider))+":sub", s.Subject)
		}
	}
	if g.cfg.PrincipalTags != nil && c.caller.Principal.Type != policy.Anonymous {
		tags, err := g.cfg.PrincipalTags(ctx, c.caller)
		if err != nil {
			return nil, err
		}
		for k, v := range tags {
			keys["aws:principaltag/"+strings.ToLower(k)] = []string{v}
		}
	}
	return keys, nil
}

// issuer is an OIDC provider as condition keys name it, without its scheme; its
// ARN will do, too.
func issuer(provider string) string {
	if _, name, ok := strings.Cut(provider, ":oidc-provider/"); ok {
		return name
	}
	return strings.TrimPrefix(provider, "https://")
}
