package ecr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// lifecycle is a lifecycle policy.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
type lifecycle struct {
	Rules *[]rule `json:"rules"`
}

type rule struct {
	RulePriority *int       `json:"rulePriority"`
	Description  string     `json:"description"`
	Selection    *selection `json:"selection"`
	Action       *action    `json:"action"`
}

type selection struct {
	TagStatus      *string  `json:"tagStatus"`
	TagPrefixList  []string `json:"tagPrefixList"`
	TagPatternList []string `json:"tagPatternList"`
	CountType      *string  `json:"countType"`
	CountUnit      *string  `json:"countUnit"`
	CountNumber    *int     `json:"countNumber"`
}

type action struct {
	Type *string `json:"type"`
}

// sentence is an error in ECR's words, which is one.
type sentence string

func (s sentence) Error() string { return string(s) }

const unreadable sentence = "Could not map policyString into LifecyclePolicy."

// maxLifecycle is how long a policy may be, in bytes.
const maxLifecycle = 30720

// checkLifecycle says what is wrong with a lifecycle policy.
func checkLifecycle(text string) error {
	if len(text) > maxLifecycle {
		return fmt.Errorf("string is too long (length: %d, maximum allowed: %d)", len(text), maxLifecycle)
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	var l lifecycle
	if err := decoder.Decode(&l); err != nil {
		return unreadable
	}
	if _, err := decoder.Token(); err != io.EOF {
		return unreadable
	}
	if l.Rules == nil {
		return missing("rules")
	}
	if len(*l.Rules) == 0 {
		return errors.New("array is too short: must have at least 1 elements but instance has 0 elements")
	}
	return checkRules(*l.Rules)
}

func missing(property string) error {
	return fmt.Errorf("object has missing required properties ([%q])", property)
}

// checkRules checks each rule, and the rules together.
func checkRules(rules []rule) error {
	highest := 0
	for _, r := range rules {
		if err := r.check(); err != nil {
			return err
		}
		highest = max(highest, *r.RulePriority)
	}
	seen := map[int]bool{}
	anys, untagged := 0, map[string]bool{}
	for _, r := range rules {
		if seen[*r.RulePriority] {
			return fmt.Errorf("two rules have the rulePriority %d", *r.RulePriority)
		}
		seen[*r.RulePriority] = true
		switch *r.Selection.TagStatus {
		case "any":
			if anys++; anys > 1 {
				return errors.New("there may be one rule with tagStatus any")
			}
			if *r.RulePriority != highest {
				return errors.New("a rule with tagStatus any must have the highest rulePriority, which is evaluated last")
			}
		case "untagged":
			if untagged[*r.Selection.CountType] {
				return fmt.Errorf("there may be one rule with tagStatus untagged and countType %s", *r.Selection.CountType)
			}
			untagged[*r.Selection.CountType] = true
		}
	}
	return nil
}

func (r rule) check() error {
	switch {
	case r.RulePriority == nil:
		return missing("rulePriority")
	case r.Selection == nil:
		return missing("selection")
	case r.Action == nil:
		return missing("action")
	case *r.RulePriority < 1:
		return tooLow(*r.RulePriority)
	case r.Action.Type == nil:
		return missing("type")
	case *r.Action.Type != "expire":
		return notIn(*r.Action.Type, "expire")
	}
	return r.Selection.check()
}

func (s selection) check() error {
	switch {
	case s.TagStatus == nil:
		return missing("tagStatus")
	case s.CountType == nil:
		return missing("countType")
	case s.CountNumber == nil:
		return missing("countNumber")
	case *s.CountNumber < 1:
		return tooLow(*s.CountNumber)
	case !slices.Contains([]string{"any", "tagged", "untagged"}, *s.TagStatus):
		return notIn(*s.TagStatus, "any", "tagged", "untagged")
	}
	named := len(s.TagPrefixList) + len(s.TagPatternList)
	switch {
	case *s.TagStatus == "tagged" && (named == 0 || s.TagPrefixList != nil && s.TagPatternList != nil):
		return errors.New("tagPrefixList or tagPatternList, one of them, must be specified for tagStatus tagged")
	case *s.TagStatus != "tagged" && named > 0:
		return fmt.Errorf("tagPrefixList and tagPatternList are for tagStatus tagged, not %s", *s.TagStatus)
	}
	switch *s.CountType {
	case "imageCountMoreThan":
		if s.CountUnit != nil {
			return errors.New("countUnit is for countType sinceImagePushed")
		}
	case "sinceImagePushed":
		if s.CountUnit == nil {
			return missing("countUnit")
		}
		if *s.CountUnit != "days" {
			return notIn(*s.CountUnit, "days")
		}
	default:
		return notIn(*s.CountType, "imageCountMoreThan", "sinceImagePushed")
	}
	return nil
}

func tooLow(n int) error {
	return fmt.Errorf("numeric instance is lower than the required minimum (minimum: 1, found: %d)", n)
}

func notIn(value string, values ...string) error {
	list, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return fmt.Errorf("instance value (%q) not found in enum (possible values: %s)", value, list)
}
