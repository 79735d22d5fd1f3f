// Package arn is Amazon Resource Names: how AWS names what exists, worldwide.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
package arn

import (
	"fmt"
	"strings"
)

// ARN is an Amazon Resource Name, taken apart.
type ARN struct {
	Partition string // aws, aws-cn, aws-us-gov
	Service   string // the namespace, as in IAM actions: ec2, iam, elasticloadbalancing
	Region    string // empty for what is global
	Account   string // twelve digits, "aws" for what AWS manages, or empty
	Resource  string // instance/i-0123456789abcdef0, role/path/name
}

func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// Parse takes a name apart. The resource may hold colons.
func Parse(s string) (ARN, error) {
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" || f[1] == "" || f[2] == "" || f[5] == "" {
		return ARN{}, fmt.Errorf("%q is no Amazon Resource Name (arn:partition:service:region:account:resource)", s)
	}
	return ARN{Partition: f[1], Service: f[2], Region: f[3], Account: f[4], Resource: f[5]}, nil
}

// Partition is the partition that a region belongs to.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// Scope is where a service names its resources: one account in one region.
type Scope struct{ Account, Region string }

// Of names a resource of a regional service.
func (s Scope) Of(service, format string, args ...any) string {
	return ARN{Partition(s.Region), service, s.Region, s.Account, fmt.Sprintf(format, args...)}.String()
}

// Global names a resource of a service that has no regions, as IAM's.
func (s Scope) Global(service, format string, args ...any) string {
	return ARN{Partition(s.Region), service, "", s.Account, fmt.Sprintf(format, args...)}.String()
}
