package authenticator

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// reviewToken answers who a bearer token is of. A token that is not AWS's is
// answered without an error: it may be another authenticator's.
func (h *Handler) reviewToken(ctx context.Context, review *authenticationv1.TokenReview) error {
	token := review.Spec.Token
	review.Spec.Token = "" // nothing repeats it, the answer and logs least of all
	review.Status = authenticationv1.TokenReviewStatus{}
	if !strings.HasPrefix(token, tokenPrefix) {
		return nil
	}
	user, by, err := h.authenticate(ctx, token)
	if err != nil {
		review.Status.Error = err.Error()
		h.cfg.Logger.Warn("access denied", "err", err)
		return nil
	}
	h.cfg.Logger.Debug("access granted", "by", by, "username", user.Username, "groups", user.Groups, "uid", user.UID)
	review.Status.Authenticated = true
	review.Status.User = user
	return nil
}

// authenticate says which user a token is of, and what made it one. Its error is
// for who looks after the cluster: kubectl only says Unauthorized.
func (h *Handler) authenticate(ctx context.Context, token string) (authenticationv1.UserInfo, string, error) {
	var none authenticationv1.UserInfo
	r, err := presigned(token, h.cfg.Cluster, func(u *url.URL) error { return allowedHost(u, h.cfg.Hosts) })
	if err != nil {
		return none, "", err
	}
	signer, err := h.cfg.Verify(ctx, r.WithContext(ctx))
	if err != nil {
		return none, "", fmt.Errorf("sts GetCallerIdentity failed (is the token of cluster %s, of this region, and at most 15 minutes old?): %w", h.cfg.Cluster, err)
	}
	id, err := identify(signer)
	if err != nil {
		return none, "", err
	}
	m, err := h.mapIdentity(ctx, id)
	if err != nil {
		return none, "", err
	}
	return h.user(ctx, m, id)
}

// mapIdentity finds what an identity becomes: access entries first, then aws-auth,
// as far as the cluster's authentication mode has them.
func (h *Handler) mapIdentity(ctx context.Context, id identity) (mapping, error) {
	access, err := h.cfg.Access(ctx)
	if err != nil {
		return mapping{}, fmt.Errorf("reading the access entries of cluster %s: %w", h.cfg.Cluster, err)
	}
	if m, ok := access.entryMapping(id); ok {
		return m, nil
	}
	if access.Mode == ModeAPI {
		return mapping{}, fmt.Errorf("%s has no access entry, and the cluster's authentication mode is API; create one: aws eks create-access-entry --cluster-name %s --principal-arn %s",
			id.principalARN, h.cfg.Cluster, id.principalARN)
	}
	data, err := h.cfg.AWSAuth(ctx)
	if err != nil {
		return mapping{}, fmt.Errorf("reading ConfigMap kube-system/aws-auth: %w", err)
	}
	auth, err := parseAWSAuth(data)
	if err != nil {
		h.cfg.Logger.Warn("ConfigMap kube-system/aws-auth is used as far as it can be read", "err", err)
	}
	if m, ok := auth.mapping(id); ok {
		return m, nil
	}
	where := "no access entry, and aws-auth does not map it"
	if access.Mode == ModeConfig {
		where = "no mapping in aws-auth (the cluster's authentication mode is CONFIG_MAP)"
	}
	return mapping{}, fmt.Errorf("%s has %s%s", id.canonicalARN, where, auth.pathHint(id))
}

func (h *Handler) user(ctx context.Context, m mapping, id identity) (authenticationv1.UserInfo, string, error) {
	render := func(template string) (string, error) {
		return renderTemplate(template, id, func(instance string) (string, error) { return h.cfg.PrivateDNSName(ctx, instance) })
	}
	var none authenticationv1.UserInfo
	username, err := render(m.username)
	if err != nil {
		return none, "", fmt.Errorf("%s: user name %q: %w", m.by, m.username, err)
	}
	if username == "" {
		return none, "", fmt.Errorf("%s gives %s no user name", m.by, id.canonicalARN)
	}
	groups := make([]string, 0, len(m.groups))
	for _, template := range m.groups {
		group, err := render(template)
		if err != nil {
			return none, "", fmt.Errorf("%s: group %q: %w", m.by, template, err)
		}
		groups = append(groups, group)
	}
	extra := map[string]authenticationv1.ExtraValue{}
	for k, v := range id.extra() {
		extra[k] = v
	}
	return authenticationv1.UserInfo{Username: username, UID: id.uid(), Groups: groups, Extra: extra}, m.by, nil
}

var instanceForm = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// renderTemplate fills in what user names and groups may refer to.
func renderTemplate(template string, id identity, dnsName func(instance string) (string, error)) (string, error) {
	values := []string{
		"{{AccountID}}", id.account,
		"{{AccessKeyID}}", id.accessKeyID,
		"{{SessionName}}", strings.ReplaceAll(id.session, "@", "-"),
		"{{SessionNameRaw}}", id.session,
	}
	if privateDNS := "{{EC2PrivateDNSName}}"; strings.Contains(template, privateDNS) {
		if !instanceForm.MatchString(id.session) {
			return "", errors.New("the session's name is no instance's id; only an instance's own credentials make a node")
		}
		name, err := dnsName(id.session)
		if err != nil {
			return "", fmt.Errorf("finding the private DNS name of %s: %w", id.session, err)
		}
		values = append(values, privateDNS, name)
	}
	return strings.NewReplacer(values...).Replace(template), nil
}
