package sts

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
)

// The patterns that STS's reference gives for its parameters.
var (
	wordForm       = regexp.MustCompile(`^\w*$`)
	nameForm       = regexp.MustCompile(`^[\w+=,.@-]*$`)
	externalIDForm = regexp.MustCompile(`^[\w+=,.@:/-]*$`)
	arnForm        = regexp.MustCompile(`^[\x{9}\x{A}\x{D}\x{20}-\x{7E}\x{85}\x{A0}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]+$`)
	tagForm        = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

const (
	namePattern       = `[\w+=,.@-]*`
	externalIDPattern = `[\w+=,.@:\/-]*`
	tagPattern        = `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`
	tagValuePattern   = `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`
	arnPattern        = `[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`
)

// invalid is the error of a parameter that breaks a rule.
func invalid(format string, args ...any) *api.Error {
	return api.Errorf(400, "ValidationError", format, args...)
}

// validation collects the constraints that parameters do not satisfy; AWS reports
// all of them at once.
type validation struct{ found []string }

func (v *validation) fail(name, value, constraint string) {
	v.found = append(v.found, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: Member must %s", value, name, constraint))
}

func (v *validation) length(name string, value *string, lo, hi int) {
	if value == nil {
		return
	}
	if n := utf8.RuneCountInString(*value); n < lo {
		v.fail(name, *value, fmt.Sprintf("have length greater than or equal to %d", lo))
	} else if n > hi {
		v.fail(name, *value, fmt.Sprintf("have length less than or equal to %d", hi))
	}
}

func (v *validation) pattern(name string, value *string, form *regexp.Regexp, text string) {
	if value != nil && !form.MatchString(*value) {
		v.fail(name, *value, "satisfy regular expression pattern: "+text)
	}
}

func (v *validation) between(name string, value *int32, lo, hi int32) {
	switch {
	case value == nil:
	case *value < lo:
		v.fail(name, fmt.Sprint(*value), fmt.Sprintf("have value greater than or equal to %d", lo))
	case *value > hi:
		v.fail(name, fmt.Sprint(*value), fmt.Sprintf("have value less than or equal to %d", hi))
	}
}

func (v *validation) atMost(name string, n, most int) {
	if n > most {
		v.fail(name, fmt.Sprintf("%d items", n), fmt.Sprintf("have length less than or equal to %d", most))
	}
}

// role checks what every way of assuming a role is asked with.
func (v *validation) role(roleARN, sessionName *string, seconds *int32) {
	v.length("roleArn", roleARN, 20, 2048)
	v.pattern("roleArn", roleARN, arnForm, arnPattern)
	v.length("roleSessionName", sessionName, 2, 64)
	v.pattern("roleSessionName", sessionName, nameForm, namePattern)
	v.between("durationSeconds", seconds, minSession, maxSession)
}

func (v *validation) err() error {
	switch n := len(v.found); n {
	case 0:
		return nil
	case 1:
		return invalid("1 validation error detected: %s", v.found[0])
	default:
		return invalid("%d validation errors detected: %s", n, strings.Join(v.found, "; "))
	}
}
