package policy

import "strings"

// AddRequestTag adds the condition keys of a tag that a request gives:
// aws:RequestTag/KEY and aws:TagKeys.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func AddRequestTag(context map[string][]string, key, value string) {
	context["aws:requesttag/"+strings.ToLower(key)] = []string{value}
	context["aws:tagkeys"] = append(context["aws:tagkeys"], key)
}

// AddResourceTag adds the condition keys of a tag that a resource has:
// aws:ResourceTag/KEY, and SERVICE:ResourceTag/KEY for services with one of their own.
func AddResourceTag(context map[string][]string, key, value string, services ...string) {
	key = strings.ToLower(key)
	context["aws:resourcetag/"+key] = []string{value}
	for _, s := range services {
		context[s+":resourcetag/"+key] = []string{value}
	}
}
