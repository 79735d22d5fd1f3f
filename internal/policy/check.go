package policy

import "strings"

const msgVendor = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."

func checkAction(action string) *Error {
	if action == "*" {
		return nil
	}
	vendor, _, ok := strings.Cut(action, ":")
	switch {
	case !ok:
		return malformed(msgVendor)
	case strings.Count(action, ":") > 1:
		return malformed("Actions/Condition can contain only one colon.")
	}
	for _, c := range vendor {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.') && vendor != "*" {
			return malformed("Vendor %s is not valid", vendor)
		}
	}
	return nil
}

// iamPaths are what the resource part of an IAM ARN may begin with.
var iamPaths = []string{
	"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/",
	"sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
}

// checkResource checks the form of an ARN in an identity policy.
func checkResource(resource string) *Error {
	if resource == "*" {
		return nil
	}
	parts := splitARN(resource)
	if len(parts) == 1 || parts[0] != "arn" {
		return malformed(`Resource %s must be in ARN format or "*".`, resource)
	}
	switch partition := parts[1]; partition {
	case "aws", "aws-cn", "aws-us-gov", "*":
	default:
		rest := []string{"*", "*", "*", "*"}
		copy(rest, parts[2:])
		return malformed(`Partition "%s" is not valid for resource "arn:%s:%s".`, partition, partition, strings.Join(rest, ":"))
	}
	if len(parts) == 2 {
		return malformed("Resource vendor must be fully qualified and cannot contain regexes.")
	}
	hasRegion := len(parts) > 3 && parts[3] != ""
	switch parts[2] {
	case "iam":
		if hasRegion {
			return malformed("IAM resource %s cannot contain region information.", resource)
		}
		if len(parts) == 6 && !iamPath(parts[5]) {
			return malformed(`IAM resource path must either be "*" or start with %s.`, strings.Join(iamPaths, ", "))
		}
	case "s3":
		if hasRegion {
			return malformed("Resource %s can not contain region information.", resource)
		}
	}
	return nil
}

func iamPath(path string) bool {
	for _, prefix := range iamPaths {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	kind, _, _ := strings.Cut(path, "/")
	return strings.ContainsAny(kind, "*?$")
}

// legacyResource is what IAM's older parser demands of a resource.
func legacyResource(resource string) bool {
	if resource == "*" {
		return true
	}
	parts := splitARN(resource)
	return (len(parts) == 6 || !strings.Contains(resource, "::")) && parts[2] != ""
}

// splitARN cuts an ARN, or a pattern of one, into at most six parts. Colons inside
// variables do not count.
func splitARN(s string) []string {
	parts := make([]string, 0, 6)
	start, depth := 0, 0
	for i := 0; i < len(s) && len(parts) < 5; i++ {
		switch {
		case s[i] == '$' && i+1 < len(s) && s[i+1] == '{' && strings.Contains(s[i:], "}"):
			depth = 1
		case s[i] == '}':
			depth = 0
		case s[i] == ':' && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
