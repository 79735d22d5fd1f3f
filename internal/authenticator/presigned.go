package authenticator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	tokenPrefix   = "k8s-aws-v1."
	clusterHeader = "X-K8s-Aws-Id"
	// maxToken is the longest token in characters. aws-iam-authenticator takes
	// 4 KiB; session policies make the region's tokens longer than AWS's packed ones.
	maxToken   = 16 << 10
	maxExpires = 900 // seconds
)

// parameters are all that the query of a presigned GetCallerIdentity has.
var parameters = []string{
	"action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires",
	"x-amz-security-token", "x-amz-signature", "x-amz-signedheaders", "x-amz-user-agent",
}

// badToken says what is wrong with the form of a token.
type badToken string

func (e badToken) Error() string { return "input token was not properly formatted: " + string(e) }

// presigned takes the request to STS out of a token, checked as
// aws-iam-authenticator checks it: only this request, for this cluster, can be
// meant. Its signature has still to be verified; until then it says nothing.
func presigned(token, cluster string, allowed func(*url.URL) error) (*http.Request, error) {
	if len(token) > maxToken {
		return nil, badToken("token is too large")
	}
	encoded, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return nil, badToken(fmt.Sprintf("token is missing expected %q prefix", tokenPrefix))
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, badToken(err.Error())
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return nil, badToken("it holds no URL")
	}
	if err := allowed(u); err != nil {
		return nil, err
	}
	if u.Path != "/" && u.Path != "" || u.User != nil || u.Fragment != "" {
		return nil, badToken("unexpected path in pre-signed URL")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, badToken("malformed query parameter")
	}
	values := map[string]string{}
	for name, v := range query {
		lower := strings.ToLower(name)
		if !slices.Contains(parameters, lower) {
			return nil, badToken(fmt.Sprintf("non-whitelisted query parameter %q", name))
		}
		if _, twice := values[lower]; twice || len(v) != 1 {
			return nil, badToken("query parameter with multiple values not supported")
		}
		values[lower] = v[0]
	}
	if values["action"] != "GetCallerIdentity" {
		return nil, badToken("unexpected action parameter in pre-signed URL")
	}
	if !slices.ContainsFunc(strings.Split(values["x-amz-signedheaders"], ";"), func(h string) bool {
		return strings.EqualFold(h, clusterHeader)
	}) {
		return nil, badToken("client did not sign the x-k8s-aws-id header in the pre-signed URL")
	}
	if n, err := strconv.Atoi(values["x-amz-expires"]); err != nil || n < 0 || n > maxExpires {
		return nil, badToken(fmt.Sprintf("invalid X-Amz-Expires parameter in pre-signed URL: %q", values["x-amz-expires"]))
	}
	if values["x-amz-date"] == "" {
		return nil, badToken("X-Amz-Date parameter must be present in pre-signed URL")
	}
	r, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, badToken("it holds no URL")
	}
	// As STS would get it: the signature covers the header, so it fits only if the
	// client signed for this cluster.
	r.Header.Set(clusterHeader, cluster)
	return r, nil
}

// allowedHost reports whether a presigned URL may go where it says: to STS, of any
// region as with AWS, or to the region's own endpoint.
func allowedHost(u *url.URL, own []string) error {
	if slices.Contains(own, u.Host) {
		if u.Scheme == "http" || u.Scheme == "https" {
			return nil
		}
	} else if !isSTS(u.Host) {
		return badToken(fmt.Sprintf("unexpected hostname %q in pre-signed URL", u.Host))
	}
	if u.Scheme != "https" {
		return badToken(fmt.Sprintf("unexpected scheme %q in pre-signed URL", u.Scheme))
	}
	return nil
}

// isSTS knows the names of STS: sts.amazonaws.com, sts.<region>.amazonaws.com, and
// those of FIPS, of dual stack and of China.
func isSTS(host string) bool {
	service, rest, _ := strings.Cut(host, ".")
	if service != "sts" && service != "sts-fips" {
		return false
	}
	switch rest {
	case "amazonaws.com", "amazonaws.com.cn":
		return true
	}
	region, domain, _ := strings.Cut(rest, ".")
	switch domain {
	case "amazonaws.com", "amazonaws.com.cn", "api.aws":
		return isRegion(region)
	}
	return false
}

func isRegion(s string) bool {
	parts := strings.Split(s, "-") // ap-northeast-2, us-gov-west-1
	if len(parts) < 3 || len(parts) > 4 {
		return false
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return false
		}
	}
	return true
}
