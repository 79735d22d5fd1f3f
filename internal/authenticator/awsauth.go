package authenticator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// awsAuth is the ConfigMap kube-system/aws-auth, parsed.
type awsAuth struct {
	roles    []mappedRole
	users    []mappedUser
	accounts []string
}

// Keys are matched whatever their case, as aws-iam-authenticator does.
type mappedRole struct {
	ARN      string   `json:"rolearn"`
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
}

type mappedUser struct {
	ARN      string   `json:"userarn"`
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
}

// parseAWSAuth reads the ConfigMap's data. What is good of it is returned along
// with the error about the rest, so that a slip in mapUsers locks no node out.
func parseAWSAuth(data map[string]string) (awsAuth, error) {
	var a awsAuth
	var errs []error
	read := func(key string, unmarshal func([]byte) error) {
		text := strings.TrimSpace(data[key])
		if text == "" || text == "``" || text == `""` {
			return
		}
		if err := unmarshal([]byte(text)); err != nil {
			errs = append(errs, fmt.Errorf("aws-auth: %s: %w", key, err))
		}
	}
	read("mapRoles", func(text []byte) error { return yaml.Unmarshal(text, &a.roles) })
	read("mapUsers", func(text []byte) error { return yaml.Unmarshal(text, &a.users) })
	// Account numbers are often written without quotes, and begin with zeros: JSON
	// between would make other numbers of them.
	read("mapAccounts", func(text []byte) error { return yamlv3.Unmarshal(text, &a.accounts) })
	return a, errors.Join(errs...)
}

// mapping finds an identity; ARNs are compared whatever their case. The last of
// several entries counts.
func (a awsAuth) mapping(id identity) (mapping, bool) {
	for _, r := range slices.Backward(a.roles) {
		if strings.EqualFold(r.ARN, id.canonicalARN) {
			return mapping{"aws-auth mapRoles", r.Username, r.Groups}, true
		}
	}
	for _, u := range slices.Backward(a.users) {
		if strings.EqualFold(u.ARN, id.canonicalARN) {
			return mapping{"aws-auth mapUsers", u.Username, u.Groups}, true
		}
	}
	if slices.Contains(a.accounts, id.account) {
		return mapping{"aws-auth mapAccounts", id.canonicalARN, nil}, true
	}
	return mapping{}, false
}

// pathHint explains the commonest slip: a role's ARN with its path.
func (a awsAuth) pathHint(id identity) string {
	for _, r := range a.roles {
		if strings.Contains(r.ARN, ":role/") && !strings.EqualFold(r.ARN, id.canonicalARN) && strings.EqualFold(withoutPath(r.ARN), id.canonicalARN) {
			return fmt.Sprintf("; aws-auth names it with its path (%s), write %s", r.ARN, id.canonicalARN)
		}
	}
	return ""
}
