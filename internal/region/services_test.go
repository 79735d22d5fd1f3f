package region

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/gateway"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/sts"
	"github.com/tarn-eks/tarn/internal/sigv4"
)

// ec2Trust lets EC2 assume a role.
const ec2Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// withRole makes a role that EC2 may assume, and returns its ARN.
func (r *Region) withRole(t *testing.T, name string) string {
	t.Helper()
	return *call[iamapi.CreateRoleOutput](t, r, "iam", "CreateRole", &iamapi.CreateRoleInput{
		RoleName: &name, AssumeRolePolicyDocument: new(ec2Trust),
	}).Role.Arn
}

// session gives an instance credentials of a role.
func (r *Region) session(t *testing.T, role string) sts.Credentials {
	t.Helper()
	c, err := r.sts.Issue(t.Context(), sts.Session{
		RoleARN: role, Name: "i-1", InstanceID: "i-1", Service: "ec2.amazonaws.com", Lifetime: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestKeyring(t *testing.T) {
	r := newRegion(t)
	keys := keyring{r.iam, r.sts}
	find := func(id, token string) gateway.Credential {
		t.Helper()
		c, err := keys.Find(t.Context(), id, token)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	stored, err := LoadCredentials(string(r.layout))
	if err != nil {
		t.Fatal(err)
	}
	root := find(stored.AccessKeyID, "")
	if root.Secret.SecretAccessKey != stored.SecretAccessKey || root.Caller.Principal != r.root.Principal || root.Caller.AccessKeyID != stored.AccessKeyID {
		t.Errorf("root is %+v, want %+v", root, r.root)
	}

	call[iamapi.CreateUserOutput](t, r, "iam", "CreateUser", &iamapi.CreateUserInput{UserName: new("alice")})
	key := call[iamapi.CreateAccessKeyOutput](t, r, "iam", "CreateAccessKey", &iamapi.CreateAccessKeyInput{UserName: new("alice")}).AccessKey
	alice := find(*key.AccessKeyId, "")
	if p := alice.Caller.Principal; p.Type != policy.User || p.ARN != "arn:aws:iam::000000000000:user/alice" || alice.Secret.SecretAccessKey != *key.SecretAccessKey || alice.Caller.Session != nil {
		t.Errorf("alice is %+v", alice)
	}

	role := r.withRole(t, "node")
	c := r.session(t, role)
	node := find(c.AccessKeyID, c.SessionToken)
	if p := node.Caller.Principal; p.Type != policy.AssumedRole || p.RoleARN != role || node.Secret.SecretAccessKey != c.SecretAccessKey || node.Secret.SessionToken != c.SessionToken || node.Caller.Session.InstanceID != "i-1" {
		t.Errorf("the session is %+v", node)
	}
	if policies, err := keys.Policies(t.Context(), node.Caller); err != nil || len(policies.Identity) != 0 {
		t.Errorf("its role's policies: %+v, %v", policies, err)
	}

	other := r.session(t, role)
	middle := len(c.SessionToken) / 2
	changed := map[byte]string{'A': "B"}[c.SessionToken[middle]]
	if changed == "" {
		changed = "A"
	}
	unknown := func(what, id, token string) {
		t.Helper()
		if got, err := keys.Find(t.Context(), id, token); !errors.Is(err, sigv4.ErrUnknownKey) || got.Secret.SecretAccessKey != "" {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	unknown("a key that nobody has", "AKIAAAAAAAAAAAAAAAAA", "")
	unknown("no key", "", "")
	unknown("a session without its token", c.AccessKeyID, "")
	unknown("a session with another one's token", c.AccessKeyID, other.SessionToken)
	unknown("a session whose token was changed", c.AccessKeyID, c.SessionToken[:middle]+changed+c.SessionToken[middle+1:])
	unknown("a session whose token was cut", c.AccessKeyID, c.SessionToken[:middle])
	unknown("a token with a user's key", "AKIA"+c.AccessKeyID[4:], c.SessionToken)

	call[iamapi.UpdateAccessKeyOutput](t, r, "iam", "UpdateAccessKey", &iamapi.UpdateAccessKeyInput{
		UserName: new("alice"), AccessKeyId: key.AccessKeyId, Status: iamapi.StatusTypeInactive,
	})
	unknown("an inactive key", *key.AccessKeyId, "")
	call[iamapi.DeleteAccessKeyOutput](t, r, "iam", "DeleteAccessKey", &iamapi.DeleteAccessKeyInput{UserName: new("alice"), AccessKeyId: key.AccessKeyId})
	unknown("a deleted key", *key.AccessKeyId, "")

	// Who was found a moment ago and is deleted by now may nothing.
	call[iamapi.DeleteUserOutput](t, r, "iam", "DeleteUser", &iamapi.DeleteUserInput{UserName: new("alice")})
	if p, err := keys.Policies(t.Context(), alice.Caller); err != nil || p == nil || len(p.Identity) != 0 {
		t.Errorf("policies of a deleted user: %+v, %v", p, err)
	}
	call[iamapi.DeleteRoleOutput](t, r, "iam", "DeleteRole", &iamapi.DeleteRoleInput{RoleName: new("node")})
	unknown("a session of a deleted role", c.AccessKeyID, c.SessionToken)
	r.withRole(t, "node")
	unknown("a session of another role of the name", c.AccessKeyID, c.SessionToken)
}

// A region that comes back has the same keys, and takes the sessions from before.
func TestServicesComeBack(t *testing.T) {
	r := newRegion(t)
	before, err := LoadCredentials(string(r.layout))
	if err != nil {
		t.Fatal(err)
	}
	private(t, r.layout.credentials())
	private(t, r.layout.sessionKey())
	c := r.session(t, r.withRole(t, "node"))
	message := r.messages.Encode(&policy.Request{Action: "ec2:RunInstances"}, policy.Decision{})

	if err := os.Remove(r.layout.credentials()); err != nil {
		t.Fatal(err)
	}
	if err := r.openServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := LoadCredentials(string(r.layout)); err != nil || after != before {
		t.Errorf("the keys are %+v, %v, and were %+v", after, err, before)
	}
	if _, err := (keyring{r.iam, r.sts}).Find(t.Context(), c.AccessKeyID, c.SessionToken); err != nil {
		t.Errorf("a session from before: %v", err)
	}
	if text, err := r.messages.Decode(message); err != nil || !strings.Contains(text, "ec2:RunInstances") {
		t.Errorf("a message from before: %s, %v", text, err)
	}

	if err := os.WriteFile(r.layout.sessionKey(), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.openServices(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("with a damaged key: %v", err)
	}
}

func TestInvoke(t *testing.T) {
	r := newRegion(t)
	who := func(as func(*testing.T) caller.Caller) (string, error) {
		ctx := t.Context()
		if as != nil {
			ctx = caller.With(ctx, as(t))
		}
		out, err := invoke[stsapi.GetCallerIdentityOutput](ctx, r, "sts", "GetCallerIdentity", &stsapi.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return *out.Arn, nil
	}
	if arn, err := who(nil); err != nil || arn != "arn:aws:iam::000000000000:root" {
		t.Errorf("nobody: %s, %v", arn, err)
	}
	alice := func(t *testing.T) caller.Caller {
		out := call[iamapi.CreateUserOutput](t, r, "iam", "CreateUser", &iamapi.CreateUserInput{UserName: new("alice")})
		return caller.Caller{Principal: policy.Principal{
			Type: policy.User, ARN: *out.User.Arn, Account: "000000000000", UserName: "alice", UserID: *out.User.UserId,
		}}
	}
	if arn, err := who(alice); err != nil || arn != "arn:aws:iam::000000000000:user/alice" {
		t.Errorf("alice: %s, %v", arn, err)
	}
	// Services are not asked for permission, and nobody is taken for one.
	in := &iamapi.CreateUserInput{UserName: new("bob")}
	if _, err := invoke[iamapi.CreateUserOutput](asService(t.Context(), "eks.amazonaws.com"), r, "iam", "CreateUser", in); err != nil {
		t.Errorf("EKS: %v", err)
	}
	out, err := invoke[iamapi.CreateUserOutput](t.Context(), r, "iam", "CreateUser", in)
	if !iamapi.EntityAlreadyExistsException.Is(err) || out != nil {
		t.Errorf("an error: %+v, %v", out, err)
	}
}

// The endpoint answers on its loopback port.
func TestEndpointServes(t *testing.T) {
	r := newRegion(t)
	client := &http.Client{Transport: &http.Transport{}} // without a proxy
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://" + r.listen.endpoint.Addr().String() + "/_tarn/health")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Error(answer.Status)
	}
}
