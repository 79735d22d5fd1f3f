package authenticator

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/policy"
)

func TestMapping(t *testing.T) {
	entry := func(e Entry) []Entry { return []Entry{e} }
	const nodes = `
- rolearn: arn:aws:iam::123456789012:role/node
  username: system:node:{{EC2PrivateDNSName}}
  groups: [system:bootstrappers, system:nodes]
- RoleARN: ARN:aws:iam::123456789012:role/Dev
  userName: dev:{{SessionName}}:{{SessionNameRaw}}:{{AccountID}}:{{AccessKeyID}}
  groups:
  - "g:{{SessionName}}"
`
	const users = `
- userarn: arn:aws:iam::123456789012:user/ann
  username: ann
  groups: [system:masters]
`
	auth := map[string]string{"mapRoles": nodes, "mapUsers": users}
	elsewhere := policy.Principal{Type: policy.User, ARN: "arn:aws:iam::000000000042:user/x", Account: "000000000042", UserID: "AIDAX"}
	strange := node
	strange.UserID = "AROANODE:some-laptop"
	for _, c := range []struct {
		name     string
		signer   policy.Principal
		access   Access
		auth     map[string]string
		authErr  error
		username string
		groups   []string
		err      string
	}{
		{name: "user's entry", signer: user, access: Access{Mode: ModeAPI, Entries: entry(Entry{PrincipalARN: userARN})}, username: userARN},
		{
			name: "user's entry, by name", signer: user, access: Access{Mode: ModeAPIAndConfig, Entries: entry(Entry{PrincipalARN: userARN, Username: "annie", Groups: []string{"a", "b"}})},
			auth: auth, username: "annie", groups: []string{"a", "b"},
		},
		{name: "recreated user", signer: user, access: Access{Mode: ModeAPI, Entries: entry(Entry{PrincipalARN: userARN, PrincipalID: "AIDAOLD"})}, err: "has no access entry"},
		{name: "role's entry, path and all", signer: role, access: Access{Mode: ModeAPI, Entries: entry(Entry{PrincipalARN: roleARN})}, username: "arn:aws:sts::123456789012:assumed-role/dev/ann-example.com"},
		{
			name: "node's entry", signer: node, access: Access{Mode: ModeAPI, Entries: entry(Entry{PrincipalARN: nodeARN, Type: TypeLinux})},
			username: "system:node:ip-192-168-12-34.ap-northeast-2.compute.internal", groups: []string{"system:nodes"},
		},
		{
			name: "nobody's node", signer: strange, access: Access{Mode: ModeAPI, Entries: entry(Entry{PrincipalARN: nodeARN, Type: TypeLinux})},
			err: "the session's name is no instance's id",
		},
		{name: "no entry", signer: user, access: Access{Mode: ModeAPI}, auth: auth, err: "aws eks create-access-entry --cluster-name eks-work --principal-arn " + userARN},
		{name: "aws-auth, after entries", signer: user, access: Access{Mode: ModeAPIAndConfig}, auth: auth, username: "ann", groups: []string{"system:masters"}},
		{
			name: "aws-auth only", signer: user, access: Access{Mode: ModeConfig, Entries: entry(Entry{PrincipalARN: userARN, Username: "annie"})},
			auth: auth, username: "ann", groups: []string{"system:masters"},
		},
		{
			name: "aws-auth node", signer: node, access: Access{Mode: ModeConfig}, auth: auth,
			username: "system:node:ip-192-168-12-34.ap-northeast-2.compute.internal", groups: []string{"system:bootstrappers", "system:nodes"},
		},
		{
			name: "aws-auth role, all templates", signer: role, access: Access{Mode: ModeConfig}, auth: auth,
			username: "dev:ann-example.com:ann@example.com:123456789012:" + keyID, groups: []string{"g:ann-example.com"},
		},
		{
			name: "a slip elsewhere", signer: node, access: Access{Mode: ModeConfig}, auth: map[string]string{"mapRoles": nodes, "mapUsers": "- ["},
			username: "system:node:ip-192-168-12-34.ap-northeast-2.compute.internal", groups: []string{"system:bootstrappers", "system:nodes"},
		},
		{name: "accounts", signer: elsewhere, access: Access{Mode: ModeConfig}, auth: map[string]string{"mapAccounts": "- 000000000042\n- \"111122223333\"\n"}, username: elsewhere.ARN},
		{name: "another account", signer: elsewhere, access: Access{Mode: ModeConfig}, auth: map[string]string{"mapAccounts": "- 34\n"}, err: "CONFIG_MAP"},
		{
			name: "a path in aws-auth", signer: role, access: Access{Mode: ModeAPIAndConfig}, auth: map[string]string{"mapRoles": "- rolearn: " + roleARN + "\n  username: dev\n"},
			err: "aws-auth names it with its path (arn:aws:iam::123456789012:role/team/dev), write arn:aws:iam::123456789012:role/dev",
		},
		{name: "empty markers", signer: user, access: Access{Mode: ModeConfig}, auth: map[string]string{"mapRoles": "``", "mapUsers": `""`}, err: "no mapping in aws-auth"},
		{name: "no user name", signer: user, access: Access{Mode: ModeConfig}, auth: map[string]string{"mapUsers": "- userarn: " + userARN}, err: "no user name"},
		{name: "no ConfigMap to be had", signer: user, access: Access{Mode: ModeConfig}, authErr: errors.New("connection refused"), err: "reading ConfigMap kube-system/aws-auth: connection refused"},
		{name: "creator", signer: role, access: Access{Mode: ModeConfig, Creator: roleARN}, username: "kubernetes-admin", groups: []string{"system:masters"}},
		{name: "creator, by entries", signer: role, access: Access{Mode: ModeAPI, Creator: roleARN}, err: "has no access entry"},
		{name: "a service", signer: policy.Principal{Type: policy.Service, Service: "ec2.amazonaws.com"}, access: Access{Mode: ModeAPI}, err: "is no identity of IAM"},
	} {
		w := &world{signer: c.signer, access: c.access, auth: c.auth, authErr: c.authErr}
		got := askToken(t, w.handler(), presign(t, options{}))
		if c.err != "" {
			if got.Authenticated || !strings.Contains(got.Error, c.err) {
				t.Errorf("%s: %+v, want an error with %q", c.name, got, c.err)
			}
			continue
		}
		if !got.Authenticated || got.User.Username != c.username || !slices.Equal(got.User.Groups, c.groups) {
			t.Errorf("%s: %+v, want %s %v", c.name, got, c.username, c.groups)
		}
	}
}

func TestDefaults(t *testing.T) {
	for kind, want := range map[string]string{
		TypeStandard: "arn:aws:sts::123456789012:assumed-role/dev/{{SessionName}}",
		"":           "arn:aws:sts::123456789012:assumed-role/dev/{{SessionName}}",
		TypeLinux:    "system:node:{{EC2PrivateDNSName}}",
		TypeWindows:  "system:node:{{EC2PrivateDNSName}}",
		TypeEC2:      "system:node:{{EC2PrivateDNSName}}",
		TypeFargate:  "system:node:{{SessionName}}",
		TypeHybrid:   "system:node:{{SessionName}}",
	} {
		if got := DefaultUsername(kind, roleARN); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
		if groups := DefaultGroups(kind); (groups == nil) != (kind == "" || kind == TypeStandard) || groups != nil && !slices.Contains(groups, "system:nodes") {
			t.Errorf("%s: groups %v", kind, groups)
		}
	}
}

func FuzzAWSAuth(f *testing.F) {
	f.Add("- rolearn: arn:aws:iam::123456789012:role/node\n  username: n\n", "- userarn: u\n", "- 000000000000\n")
	f.Fuzz(func(t *testing.T, roles, users, accounts string) {
		a, _ := parseAWSAuth(map[string]string{"mapRoles": roles, "mapUsers": users, "mapAccounts": accounts})
		id, err := identify(Signer{Principal: role})
		if err != nil {
			t.Fatal(err)
		}
		m, ok := a.mapping(id)
		if !ok {
			return
		}
		if _, err := renderTemplate(m.username, id, func(string) (string, error) { return "x", nil }); err != nil && !strings.Contains(m.username, "{{EC2PrivateDNSName}}") {
			t.Fatal(err)
		}
	})
}
