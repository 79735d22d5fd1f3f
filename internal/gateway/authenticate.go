package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
)

// anonymous are the operations that are served to callers without credentials,
// which they exist to hand out: they carry a token of somebody else's.
var anonymous = map[string][]string{
	"sts": {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"},
}

// unsigned reads a request without a signature, and refuses it unless its
// operation needs none.
func (g *Gateway) unsigned(r *http.Request, c *call, refusal error) error {
	allowed := anonymous[c.service.SigningName]
	if len(allowed) > 0 {
		err := c.parse(r)
		e, _ := errors.AsType[*api.Error](err)
		if slices.Contains(allowed, c.name) || e != nil && e.Status == http.StatusRequestEntityTooLarge {
			return err
		}
	}
	if c.name == "" {
		c.name = operationName(c.service, r)
	}
	c.input = nil
	if c.service.handler == nil {
		return g.unknownService("")
	}
	return g.refused(c, refusal)
}

// authenticate checks the signature and fills in the caller. It leaves a checked
// body to be read.
func (g *Gateway) authenticate(r *http.Request, c *call, claimed sigv4.Identity) error {
	c.region = regionOf(claimed.Service, claimed.Region)
	c.caller.AccessKeyID = claimed.AccessKeyID
	if err := g.checkScope(r, c, claimed); err != nil {
		return err
	}
	var found Credential
	_, err := g.verifier.Verify(r, c.start, func(id string) (sigv4.Secret, error) {
		var err error
		found, err = g.cfg.Credentials.Find(r.Context(), id, claimed.SessionToken)
		return found.Secret, err
	})
	if err != nil {
		return err
	}
	known := found.Caller
	c.caller.Principal, c.caller.Session, c.caller.Region = known.Principal, known.Session, claimed.Region
	c.session = found.SessionPolicies
	if lacksFactor(claimed.Service, known) {
		return &sigv4.Error{Cause: sigv4.UnknownKey} // IAM says no more than this
	}
	return nil
}

// lacksFactor says that the service, by its signing name, does not take the
// credentials: IAM takes what GetSessionToken gives only with a second factor, which
// nobody here has.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func lacksFactor(service string, c caller.Caller) bool {
	return service == "iam" && c.Session != nil && (c.Principal.Type == policy.Root || c.Principal.Type == policy.User)
}

// regionOf is where AWS serves a service to which a request was signed for region,
// as policies and records have it. The other global services are in each region, too.
func regionOf(service, region string) string {
	if service == "iam" || service == "route53" {
		return globalRegion
	}
	return region
}

// checkScope checks what the credential scope and the list of signed headers say
// about this endpoint.
func (g *Gateway) checkScope(r *http.Request, c *call, claimed sigv4.Identity) error {
	if c.service.handler == nil {
		return nil // the answer is that there is no such service, wherever it would be
	}
	if claimed.Region != g.cfg.Region && (!global[claimed.Service] || claimed.Region != globalRegion) {
		return &sigv4.Error{Cause: sigv4.BadScope, Code: "SignatureDoesNotMatch", Status: http.StatusForbidden,
			Message: "Credential should be scoped to a valid region, not '" + claimed.Region + "'. This endpoint serves " + g.cfg.Region + "."}
	}
	// The operation must be among what was signed, or a signature for one would be
	// good for every other. The other protocols have it in the body or the path.
	if p := c.protocol.Name(); (p == api.AWSJSON10 || p == api.AWSJSON11) && !slices.Contains(claimed.SignedHeaders, "x-amz-target") {
		return &sigv4.Error{Cause: sigv4.BadScope, Code: "SignatureDoesNotMatch", Status: http.StatusForbidden,
			Message: "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."}
	}
	return nil
}

// refuse makes the error of a signature the call's.
func (g *Gateway) refuse(r *http.Request, c *call, err error) {
	if c.name == "" {
		c.name = operationName(c.service, r)
	}
	if c.err = g.refused(c, err); api.Code(c.err) == "" {
		if !errors.Is(err, context.Canceled) {
			g.log.Error("checking a signature", "service", c.service.Name, "request", c.caller.RequestID, "err", err)
		}
	}
}

// refused is the error of a signature in the service's dialect.
func (g *Gateway) refused(c *call, err error) error {
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		return c.spell(e)
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return api.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request is larger than %d bytes.", tooLarge.Limit)
	}
	return err
}

// spell is an error of package sigv4 as the service puts it. The trail has what
// it says before: EC2 tells its callers nothing.
func (c *call) spell(e *sigv4.Error) *api.Error {
	c.reason = e.Message
	d := sigv4.Query
	switch c.protocol.Name() {
	case api.EC2Query:
		d = sigv4.EC2
	case api.AWSJSON10, api.AWSJSON11, api.RPCv2CBOR:
		d = sigv4.JSON
	case api.RestJSON1:
		d = sigv4.RESTJSON
	}
	out := e.In(d)
	message := out.Message
	if d == sigv4.EC2 && e.Cause == sigv4.BadScope {
		message += ". " + e.Message // or nobody would think of the region
	}
	return api.Errorf(out.Status, out.Code, "%s", message)
}
