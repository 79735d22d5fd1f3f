package eks

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
)

var (
	clusterName   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)
	nodegroupName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,62}$`)
)

// asked keeps what a call asked for: its token and a digest of all the rest.
func asked(token *string, in any) request {
	if api.Val(token) == "" {
		return request{}
	}
	data, err := json.Marshal(in)
	if err != nil {
		panic(fmt.Sprintf("eks: a request cannot be written as JSON: %v", err)) // it was read from JSON
	}
	sum := sha256.Sum256(data)
	return request{Token: *token, Params: hex.EncodeToString(sum[:])}
}

// repeats says that the same call was made before.
func (r request) repeats(earlier request) bool { return r.Token != "" && r == earlier }

const maxResultsLimit = 100

// page is the part of keys that a call asks for, and the token of the next part.
// A token says after which key to go on: it holds while items come and go.
func page(keys []string, maxResults *int32, token *string) ([]string, *string, error) {
	n := maxResultsLimit
	if maxResults != nil {
		n = int(*maxResults)
		if n < 1 || n > maxResultsLimit {
			return nil, nil, about{}.invalid("Maximum results must be between 1 and %d.", maxResultsLimit)
		}
	}
	slices.Sort(keys)
	if api.Val(token) != "" {
		last, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			return nil, nil, about{}.invalid("Invalid nextToken")
		}
		from := sort.SearchStrings(keys, string(last)+"\x00")
		keys = keys[from:]
	}
	if len(keys) <= n {
		return present(keys), nil, nil
	}
	return keys[:n], new(base64.RawURLEncoding.EncodeToString([]byte(keys[n-1]))), nil
}

const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// checkTags says what is wrong with tags, "" if nothing is.
func checkTags(tags map[string]string) string {
	if len(tags) > maxTags {
		return fmt.Sprintf("Too many tags: a resource has %d at most", maxTags)
	}
	for k, v := range tags {
		switch {
		case k == "" || len([]rune(k)) > maxTagKey:
			return fmt.Sprintf("The tag key '%s' must have 1 to %d characters", k, maxTagKey)
		case len([]rune(v)) > maxTagValue:
			return fmt.Sprintf("The value of tag '%s' must have at most %d characters", k, maxTagValue)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return "Tag keys starting with 'aws:' are reserved for system use"
		}
	}
	return ""
}

var (
	private = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	}
	firstServices  = netip.MustParsePrefix("10.100.0.0/16")
	secondServices = netip.MustParsePrefix("172.20.0.0/16")
)

// serviceCIDR checks the range of Services' addresses, or chooses one that the
// VPC does not have, as EKS does. problem is "" if there is none.
func serviceCIDR(text string, vpc []netip.Prefix) (p netip.Prefix, problem string) {
	if text == "" {
		if overlap(vpc, private[0]) {
			return secondServices, ""
		}
		return firstServices, ""
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is4() || p != p.Masked():
		return p, fmt.Sprintf("The serviceIpv4Cidr %s is not a valid IPv4 CIDR block", text)
	case p.Bits() < 12 || p.Bits() > 24:
		return p, fmt.Sprintf("The serviceIpv4Cidr %s must be between /24 and /12", text)
	case !slices.ContainsFunc(private, func(q netip.Prefix) bool { return q.Overlaps(p) && q.Bits() <= p.Bits() }):
		return p, fmt.Sprintf("The serviceIpv4Cidr %s must be within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", text)
	case overlap(vpc, p):
		return p, fmt.Sprintf("The serviceIpv4Cidr %s overlaps with a CIDR block of the VPC", text)
	}
	return p, ""
}

func overlap(list []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(list, p.Overlaps)
}

// present is a list that is there even if it is empty.
func present(list []string) []string { return append([]string{}, list...) }
