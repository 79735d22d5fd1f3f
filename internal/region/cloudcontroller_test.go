package region

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// A control plane gets credentials of the role that its cluster has, for its token
// and as long as the role trusts EKS.
func TestCloudCredentials(t *testing.T) {
	r := newRegion(t)
	c := cloudCredentials{cluster: "one", token: "secret"}
	ask := func(token string) (status int, body map[string]string) {
		t.Helper()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/credentials", nil)
		request.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		r.giveCloudCredentials(w, request, c)
		if w.Code != http.StatusUnauthorized {
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
		}
		return w.Code, body
	}
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	arn := *call[iamapi.CreateRoleOutput](t, r, "iam", "CreateRole", &iamapi.CreateRoleInput{RoleName: new("control"), AssumeRolePolicyDocument: &trust}).Role.Arn
	if status, body := ask("secret"); status != http.StatusBadRequest || body["message"] == "" {
		t.Errorf("without a cluster: %d %v", status, body)
	}
	if _, err := r.eks.Clusters.Create(t.Context(), "one", eks.Cluster{Name: "one", RoleARN: arn}); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "wrong", "secret2"} {
		if status, _ := ask(wrong); status != http.StatusUnauthorized {
			t.Errorf("with the token %q: %d", wrong, status)
		}
	}
	status, body := ask("secret")
	if status != http.StatusOK || body["RoleArn"] != arn || body["SecretAccessKey"] == "" || body["Expiration"] == "" {
		t.Fatalf("%d %v", status, body)
	}
	who, err := keyring{r.iam, r.sts}.Find(t.Context(), body["AccessKeyId"], body["Token"])
	if want := "arn:aws:sts::000000000000:assumed-role/control/eks-one"; err != nil || who.Caller.Principal.ARN != want {
		t.Errorf("they are of %+v, %v, want %s", who.Caller, err, want)
	}
	call[iamapi.UpdateAssumeRolePolicyOutput](t, r, "iam", "UpdateAssumeRolePolicy", &iamapi.UpdateAssumeRolePolicyInput{RoleName: new("control"), PolicyDocument: new(ec2Trust)})
	c.cluster = "two" // one that has been given none yet
	if _, err := r.eks.Clusters.Create(t.Context(), "two", eks.Cluster{Name: "two", RoleARN: arn}); err != nil {
		t.Fatal(err)
	}
	if status, body := ask("secret"); status != http.StatusBadRequest || body["code"] != "AccessDenied" {
		t.Errorf("of a role that does not trust EKS: %d %v", status, body)
	}
	call[iamapi.DeleteRoleOutput](t, r, "iam", "DeleteRole", &iamapi.DeleteRoleInput{RoleName: new("control")})
	if status, body := ask("secret"); status != http.StatusBadRequest || body["message"] == "" {
		t.Errorf("of a role that is gone: %d %v", status, body)
	}
}

// The cloud controller manager takes nothing of the user's own AWS account.
func TestCloudEnvironment(t *testing.T) {
	t.Setenv("AWS_PROFILE", "work")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAMINE")
	t.Setenv("GODEBUG", "tlssha1=1")
	last := map[string]string{}
	for _, line := range (cloudCredentials{url: "http://127.0.0.1:1/credentials", token: "secret"}).environment("ap-northeast-2", "http://192.168.0.9") {
		name, value, _ := strings.Cut(line, "=")
		last[name] = value
	}
	var wrong []string
	for name, want := range map[string]string{
		"AWS_REGION": "ap-northeast-2", "AWS_ENDPOINT_URL": "http://192.168.0.9", "AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": "", "GODEBUG": "",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret",
	} {
		if last[name] != want {
			wrong = append(wrong, name+"="+last[name])
		}
	}
	if slices.Sort(wrong); wrong != nil {
		t.Error(wrong)
	}
}
