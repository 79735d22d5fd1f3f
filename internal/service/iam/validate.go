package iam

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
)

// constraint is what the model demands of a member. The zero value demands nothing.
type constraint struct {
	min, max int    // length of a string or list; value of a number
	pattern  string // of the whole string, as it is written in errors
	values   []string
	element  *constraint // of each element of a list
}

const (
	namePattern     = `[\w+=,.@-]+`
	wordPattern     = `[\w]+`
	documentPattern = `[\u0009\u000A\u000D\u0020-\u00FF]+`
	tagKeyPattern   = `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`
)

var (
	name64   = constraint{min: 1, max: 64, pattern: namePattern}
	name128  = constraint{min: 1, max: 128, pattern: namePattern}
	path     = constraint{min: 1, max: 512, pattern: `(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`}
	document = constraint{min: 1, max: 131072, pattern: documentPattern}
	anARN    = constraint{min: 20, max: 2048}
	listOf   = func(c constraint) constraint { return constraint{element: &c} }
)

// constraints are by the names of members. Where an operation has its own, the name is
// preceded by that of the structure.
//
// The patterns and lengths are those of the service model iam/2010-05-08.
var constraints = map[string]constraint{
	"AWSServiceName":                     {min: 1, max: 128, pattern: namePattern},
	"AccessKeyId":                        {min: 16, max: 128, pattern: wordPattern},
	"AccountAlias":                       {min: 3, max: 63, pattern: `^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`},
	"ActionNames":                        listOf(constraint{min: 3, max: 128}),
	"AssumeRolePolicyDocument":           document,
	"CallerArn":                          {min: 1, max: 2048},
	"ClientID":                           {min: 1, max: 255},
	"ClientIDList":                       listOf(constraint{min: 1, max: 255}),
	"ContextEntry.ContextKeyName":        {min: 5, max: 256},
	"CreatePolicyInput.Path":             {min: 1, max: 512, pattern: `((/[A-Za-z0-9\.,\+@=_-]+)*)/`},
	"CreatePolicyInput.Description":      {max: 1000},
	"CreateUserInput.UserName":           name64,
	"CustomSuffix":                       name64,
	"Description":                        {max: 1000, pattern: `[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`},
	"EntityFilter":                       {values: []string{"User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"}},
	"GroupName":                          name128,
	"InstanceProfileName":                name128,
	"Marker":                             {min: 1, max: 320, pattern: `[\u0020-\u00FF]+`},
	"MaxItems":                           {min: 1, max: 1000},
	"MaxSessionDuration":                 {min: 3600, max: 43200},
	"NewGroupName":                       name128,
	"NewPath":                            path,
	"NewUserName":                        name64,
	"OpenIDConnectProviderArn":           anARN,
	"Path":                               path,
	"PathPrefix":                         {min: 1, max: 512, pattern: `\u002F[\u0021-\u007F]*`},
	"PermissionsBoundary":                anARN,
	"PermissionsBoundaryPolicyInputList": listOf(document),
	"PolicyArn":                          anARN,
	"PolicyDocument":                     document,
	"PolicyInputList":                    listOf(document),
	"PolicyName":                         name128,
	"PolicySourceArn":                    anARN,
	"PolicyUsageFilter":                  {values: []string{"PermissionsPolicy", "PermissionsBoundary"}},
	"ResourceArns":                       listOf(constraint{min: 1, max: 2048}),
	"ResourcePolicy":                     document,
	"RoleName":                           name64,
	"Scope":                              {values: []string{"All", "AWS", "Local"}},
	"Status":                             {values: []string{"Active", "Inactive"}},
	"Tag.Key":                            {min: 1, max: 128, pattern: tagKeyPattern},
	"Tag.Value":                          {max: 256, pattern: `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`},
	"TagKeys":                            {max: 50, element: &constraint{min: 1, max: 128, pattern: tagKeyPattern}},
	"Tags":                               {max: 50},
	"ThumbprintList":                     listOf(constraint{min: 40, max: 40}),
	"Url":                                {min: 1, max: 255},
	"UserName":                           name128,
	"VersionId":                          {pattern: `v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`},
}

// invalid is the error for requests that the model does not allow.
func invalid(format string, args ...any) error {
	return api.Errorf(400, "ValidationError", format, args...)
}

// check checks a request, a pointer to a structure of the API, against the constraints.
func check(in any) error {
	var faults []string
	checkStruct(reflect.ValueOf(in).Elem(), "", &faults)
	if i := slices.IndexFunc(faults, func(f string) bool { return strings.HasPrefix(f, badName) }); i >= 0 {
		return invalid("%s", faults[i])
	}
	switch len(faults) {
	case 0:
		return nil
	case 1:
		return invalid("1 validation error detected: %s", faults[0])
	}
	return invalid("%d validation errors detected: %s", len(faults), strings.Join(faults, "; "))
}

func checkStruct(v reflect.Value, path string, faults *[]string) {
	t := v.Type()
	for i := range t.NumField() {
		f := v.Field(i)
		if f.IsZero() {
			continue // absent
		}
		name := t.Field(i).Name
		c, ok := constraints[t.Name()+"."+name]
		if !ok {
			c = constraints[name]
		}
		checkValue(reflect.Indirect(f), path+lowerFirst(name), c, faults)
	}
}

// badName is how IAM refuses the characters of a name, unlike other constraints and
// before them.
const badName = "The specified value for "

func checkValue(v reflect.Value, path string, c constraint, faults *[]string) {
	fault := func(text string) {
		*faults = append(*faults, fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", path, text))
	}
	switch v.Kind() {
	case reflect.String:
		if c.pattern == namePattern && v.Len() > 0 && !compiled(c.pattern)(v.String()) {
			*faults = append(*faults, badName+path+" is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
			return
		}
		for _, f := range c.faults(v.String()) {
			fault(f)
		}
	case reflect.Int32:
		if n := int(v.Int()); c.max > 0 && n > c.max {
			fault(fmt.Sprintf("Member must have value less than or equal to %d", c.max))
		} else if n < c.min {
			fault(fmt.Sprintf("Member must have value greater than or equal to %d", c.min))
		}
	case reflect.Slice:
		if c.max > 0 && v.Len() > c.max {
			fault(fmt.Sprintf("Member must have length less than or equal to %d", c.max))
			return
		}
		for i := range v.Len() {
			e := v.Index(i)
			if e.Kind() == reflect.Struct {
				checkStruct(e, fmt.Sprintf("%s.%d.member.", path, i+1), faults)
			} else if c.element != nil && len(c.element.faults(e.String())) > 0 {
				fault(c.element.describe())
				return
			}
		}
	}
}

// faults says which demands a string does not meet.
func (c *constraint) faults(s string) (out []string) {
	n := utf8.RuneCountInString(s)
	if c.max > 0 && n > c.max {
		out = append(out, fmt.Sprintf("Member must have length less than or equal to %d", c.max))
	}
	if n < c.min {
		out = append(out, fmt.Sprintf("Member must have length greater than or equal to %d", c.min))
	}
	if c.pattern != "" && !compiled(c.pattern)(s) {
		out = append(out, "Member must satisfy regular expression pattern: "+c.pattern)
	}
	if c.values != nil && !slices.Contains(c.values, s) {
		out = append(out, "Member must satisfy enum value set: ["+strings.Join(c.values, ", ")+"]")
	}
	return out
}

// describe is how IAM tells the constraint of a list's elements: all of it.
func (c *constraint) describe() string {
	parts := []string{
		fmt.Sprintf("Member must have length less than or equal to %d", c.max),
		fmt.Sprintf("Member must have length greater than or equal to %d", c.min),
	}
	if c.pattern != "" {
		parts = append(parts, "Member must satisfy regular expression pattern: "+c.pattern)
	}
	if c.pattern == tagKeyPattern {
		parts = append(parts, "Member must not be null")
	}
	return "Member must satisfy constraint: [" + strings.Join(parts, ", ") + "]"
}

var patterns sync.Map // of functions, by pattern

// compiled is a test of whole strings against a pattern of the models, which are Java's.
func compiled(pattern string) func(string) bool {
	if f, ok := patterns.Load(pattern); ok {
		return f.(func(string) bool)
	}
	p := regexp.MustCompile(`\\u([0-9A-F]{4})`).ReplaceAllString(pattern, `\x{$1}`)
	noTwins := strings.Contains(p, "(?!-)") // no two dashes side by side
	p = strings.ReplaceAll(p, "(?!-)", "")
	re := regexp.MustCompile(`^(?:` + p + `)$`)
	f := func(s string) bool { return re.MatchString(s) && (!noTwins || !strings.Contains(s, "--")) }
	patterns.Store(pattern, f)
	return f
}

// lowerFirst is a member's name as errors have it: roleName, aWSServiceName.
func lowerFirst(name string) string {
	if rest, ok := strings.CutPrefix(name, "AWS"); ok {
		return "aWS" + rest
	}
	return strings.ToLower(name[:1]) + name[1:]
}
