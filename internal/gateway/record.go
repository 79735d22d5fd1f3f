package gateway

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/trail"
)

// record puts a call into the trail.
func (g *Gateway) record(c *call) {
	if p := c.caller.Principal.Type; g.cfg.Used != nil && p != policy.Anonymous && p != policy.Service {
		g.cfg.Used(c.caller, c.signing, c.region)
	}
	if g.cfg.Trail == nil || c.signing == "" { // nobody can tell what that was
		return
	}
	s := c.service
	r := trail.Record{
		UserIdentity: g.identity(c), EventTime: c.start, EventSource: c.signing + ".amazonaws.com", EventName: c.name,
		AWSRegion: c.region, SourceIPAddress: c.caller.SourceIP, UserAgent: c.caller.UserAgent,
		RequestID: c.caller.RequestID, ReadOnly: trail.ReadOnly(c.signing, c.name), RecipientAccountID: g.cfg.Account,
	}
	if c.input != nil {
		r.RequestParameters = trail.Parameters(s.Service.Service, c.input)
	}
	switch {
	case c.err != nil:
		r.ErrorCode, r.ErrorMessage = c.failure()
	case !r.ReadOnly || strings.HasPrefix(c.name, "AssumeRole"):
		r.ResponseElements = trail.Elements(s.Service.Service, c.op, c.output, c.caller.RequestID)
	}
	r.AdditionalEventData.DurationMilliseconds = float64(time.Since(c.begin).Microseconds()) / 1000
	g.cfg.Trail.Add(r)
}

// failure is the call's error as CloudTrail writes it.
func (c *call) failure() (code, message string) {
	e, ok := errors.AsType[*api.Error](c.err)
	if !ok {
		e = api.Errorf(500, "InternalFailure", "An internal error has occurred.")
	}
	code, message = e.Code, e.Message
	if e.Shape != "" && code != "AccessDenied" {
		code = e.Shape
	}
	if len(c.service.Protocols) > 0 && c.service.Protocols[0] == api.EC2Query {
		if !ok {
			code = "InternalError"
		}
		code = map[bool]string{true: "Server.", false: "Client."}[e.Status >= 500] + code
	}
	if c.reason != "" {
		message = c.reason
	}
	return code, message
}

// identity is who made the call, as CloudTrail writes it. Of those who could not
// prove it, it has only what they claim.
func (g *Gateway) identity(c *call) trail.Identity {
	p := c.caller.Principal
	u := trail.Identity{
		PrincipalID: p.UserID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: c.caller.AccessKeyID,
		SessionContext: sessionContext(c),
	}
	switch p.Type {
	case policy.Root:
		u.Type = "Root"
		if u.PrincipalID == "" {
			u.PrincipalID = p.Account
		}
	case policy.User:
		u.Type, u.UserName = "IAMUser", p.UserName
	case policy.AssumedRole:
		u.Type = "AssumedRole"
	case policy.FederatedUser:
		u.Type = "FederatedUser"
	case policy.Service:
		u = trail.Identity{Type: "AWSService", InvokedBy: p.Service}
	default:
		u = trail.Identity{Type: "Unknown", AccessKeyID: c.caller.AccessKeyID}
		if slices.Contains(anonymous[c.signing], c.name) && u.AccessKeyID == "" {
			u.Type = "WebIdentityUser"
		}
		if out, ok := c.output.(*stsapi.AssumeRoleWithWebIdentityOutput); ok && out != nil {
			name := issuer(api.Val(out.Provider))
			u.UserName = api.Val(out.SubjectFromWebIdentityToken)
			u.PrincipalID = name + ":" + api.Val(out.Audience) + ":" + u.UserName
			u.IdentityProvider = "arn:aws:iam::" + g.cfg.Account + ":oidc-provider/" + name
		}
	}
	return u
}

func sessionContext(c *call) *trail.SessionContext {
	s := c.caller.Session
	if s == nil {
		return nil
	}
	out := &trail.SessionContext{
		Attributes: &trail.SessionAttributes{CreationDate: s.Issued.UTC().Truncate(time.Second), MFAAuthenticated: "false"},
	}
	if s.IssuerARN != "" {
		out.SessionIssuer = &trail.SessionIssuer{
			Type: "Role", PrincipalID: s.IssuerID, ARN: s.IssuerARN,
			AccountID: c.caller.Principal.Account, UserName: s.IssuerName,
		}
	}
	if s.Provider != "" {
		out.WebIDFederationData = &trail.WebIDFederation{FederatedProvider: s.Provider, Attributes: map[string]string{}}
	}
	if s.InstanceID != "" {
		out.EC2RoleDelivery = "2.0"
	}
	return out
}
