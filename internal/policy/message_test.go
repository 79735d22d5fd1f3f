package policy

import "testing"

func TestMessages(t *testing.T) {
	const group = "arn:aws:autoscaling:ap-northeast-2:123456789012:autoScalingGroup:1:autoScalingGroupName/eks-g"
	session := Principal{Type: AssumedRole, ARN: "arn:aws:sts::123456789012:assumed-role/role/session", RoleARN: "arn:aws:iam::123456789012:role/role", Account: account}
	const who = "User: arn:aws:sts::123456789012:assumed-role/role/session is not authorized to perform: "
	all := sources(t, identity(say("Allow", "*", "*")))
	no := sources(t, identity(say("Allow", "x:*", "*")))
	deny := sources(t, identity(say("Deny", "*", "*")))
	resource := func(document string) Source { return Source{"r", mustParse(t, ResourcePolicy, document)} }
	trust := func(document string) Source { return Source{"t", mustParse(t, TrustPolicy, document)} }
	const scale, list = "autoscaling:SetDesiredCapacity", "autoscaling:DescribeAutoScalingGroups"
	tests := []struct {
		name      string
		action    string
		resources []string
		p         Policies
		account   string
		want      string
	}{
		{"no identity", scale, []string{group}, Policies{}, "", scale + " on resource: " + group + " because no identity-based policy allows the autoscaling:SetDesiredCapacity action"},
		{"no resource", list, nil, Policies{}, "", list + " because no identity-based policy allows the autoscaling:DescribeAutoScalingGroups action"},
		{"star", "ecr:GetAuthorizationToken", []string{"*"}, Policies{}, "", "ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action"},
		{"the second resource", scale, []string{"arn:aws:a:::b", group}, Policies{Identity: sources(t, identity(say("Allow", "*", "arn:aws:a:::b")))}, "", scale + " on resource: " + group + " because no identity-based policy allows the autoscaling:SetDesiredCapacity action"},
		{"identity denies", scale, []string{group}, Policies{Identity: deny}, "", scale + " on resource: " + group + " with an explicit deny in an identity-based policy"},
		{"boundary", list, nil, Policies{Identity: all, Boundary: no[0]}, "", list + " because no permissions boundary allows the autoscaling:DescribeAutoScalingGroups action"},
		{"boundary denies", list, nil, Policies{Identity: all, Boundary: deny[0]}, "", list + " with an explicit deny in a permissions boundary"},
		{"session", list, nil, Policies{Identity: all, Session: no}, "", list + " because no session policy allows the autoscaling:DescribeAutoScalingGroups action"},
		{"session denies", list, nil, Policies{Identity: all, Session: deny}, "", list + " with an explicit deny in a session policy"},
		{"resource", "ecr:BatchGetImage", []string{"arn:aws:ecr:a:9:repository/r"}, Policies{Identity: all}, "999999999999",
			"ecr:BatchGetImage on resource: arn:aws:ecr:a:9:repository/r because no resource-based policy allows the ecr:BatchGetImage action"},
		{"resource denies", "ecr:BatchGetImage", []string{"arn:aws:ecr:a:1:repository/r"}, Policies{Identity: all, Resource: resource(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"ecr:*"}}`)}, "",
			"ecr:BatchGetImage on resource: arn:aws:ecr:a:1:repository/r with an explicit deny in a resource-based policy"},
		{"role", "sts:AssumeRole", []string{"arn:aws:iam::123456789012:role/r"}, Policies{Identity: all, Resource: trust(`{"Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}`)}, "",
			"sts:AssumeRole on resource: arn:aws:iam::123456789012:role/r"},
		{"role denies", "sts:AssumeRole", []string{"arn:aws:iam::123456789012:role/r"}, Policies{Identity: all, Resource: trust(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}}`)}, "",
			"sts:AssumeRole on resource: arn:aws:iam::123456789012:role/r with an explicit deny in the role trust policy"},
	}
	for _, tt := range tests {
		r := &Request{Principal: session, Action: tt.action, Resources: tt.resources, ResourceAccount: tt.account}
		d := Evaluate(r, &tt.p)
		if d.Allowed() {
			t.Errorf("%s: allowed", tt.name)
		}
		if got := d.AccessDenied(r); got != who+tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, who+tt.want)
		}
	}

	r := &Request{Principal: session, Action: "ec2:RunInstances", Resources: []string{"arn:aws:ec2:a:1:instance/*"}}
	d := Evaluate(r, &Policies{})
	want := "You are not authorized to perform this operation. " + who + "ec2:RunInstances on resource: arn:aws:ec2:a:1:instance/* " +
		"because no identity-based policy allows the ec2:RunInstances action"
	if got := d.UnauthorizedOperation(r, ""); got != want {
		t.Error(got)
	}
	if got := d.UnauthorizedOperation(r, "abc"); got != want+". Encoded authorization failure message: abc" {
		t.Error(got)
	}
	r = &Request{Action: "sts:AssumeRoleWithWebIdentity"}
	if got, want := Evaluate(r, &Policies{}).AccessDenied(r), "User: anonymous is not authorized to perform: sts:AssumeRoleWithWebIdentity because no resource-based policy allows the sts:AssumeRoleWithWebIdentity action"; got != want {
		t.Error(got)
	}
}
