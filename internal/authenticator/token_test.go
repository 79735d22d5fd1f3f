package authenticator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
)

const (
	account  = "123456789012"
	cluster  = "eks-work"
	keyID    = "ASIAQHM7TBABAAAAAAAA"
	secret   = "secret"
	endpoint = "http://192.168.0.2:4566"
	local    = "http://127.0.0.1:4566"

	userARN = "arn:aws:iam::" + account + ":user/ann"
	roleARN = "arn:aws:iam::" + account + ":role/team/dev"
	nodeARN = "arn:aws:iam::" + account + ":role/node"
	nodeID  = "i-0123456789abcdef0"
)

var (
	user = policy.Principal{Type: policy.User, ARN: userARN, Account: account, UserID: "AIDAANN", UserName: "ann"}
	role = policy.Principal{
		Type: policy.AssumedRole, ARN: "arn:aws:sts::" + account + ":assumed-role/dev/ann@example.com",
		RoleARN: roleARN, Account: account, UserID: "AROADEV:ann@example.com",
	}
	node = policy.Principal{
		Type: policy.AssumedRole, ARN: "arn:aws:sts::" + account + ":assumed-role/node/" + nodeID,
		RoleARN: nodeARN, Account: account, UserID: "AROANODE:" + nodeID,
	}
)

// world is what a Handler is told, and who signs.
type world struct {
	signer  policy.Principal
	access  Access
	auth    map[string]string
	authErr error
	sas     map[string]map[string]string // annotations by namespace/name
	log     strings.Builder
}

func (w *world) handler() *Handler {
	verifier := sigv4.New(sigv4.Config{})
	return New(Config{
		Cluster: cluster, Region: "ap-northeast-2", Endpoint: endpoint,
		Hosts: []string{"127.0.0.1:4566", "localhost:4566", "192.168.0.2:4566"},
		Verify: func(_ context.Context, r *http.Request) (Signer, error) {
			id, err := verifier.Verify(r, time.Now(), func(id string) (sigv4.Secret, error) {
				if id != keyID {
					return sigv4.Secret{}, sigv4.ErrUnknownKey
				}
				return sigv4.Secret{SecretAccessKey: secret, SessionToken: "token"}, nil
			})
			return Signer{Principal: w.signer, AccessKeyID: id.AccessKeyID}, err
		},
		Access:  func(context.Context) (Access, error) { return w.access, nil },
		AWSAuth: func(context.Context) (map[string]string, error) { return w.auth, w.authErr },
		PrivateDNSName: func(_ context.Context, id string) (string, error) {
			if id != nodeID {
				return "", errors.New("no such instance")
			}
			return "ip-192-168-12-34.ap-northeast-2.compute.internal", nil
		},
		ServiceAccount: func(_ context.Context, namespace, name string) (map[string]string, error) {
			sa, ok := w.sas[namespace+"/"+name]
			if !ok {
				return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccounts"}, name)
			}
			return sa, nil
		},
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
}

// options of a token; the zero value is what `aws eks get-token` makes.
type options struct {
	cluster  string
	endpoint string
	secret   string
	expires  string
	at       time.Time
	extra    func(*http.Request)
}

// presign makes a token as aws-iam-authenticator does, with the SDK.
func presign(t testing.TB, o options) string {
	t.Helper()
	if o.cluster == "" {
		o.cluster = cluster
	}
	if o.secret == "" {
		o.secret = secret
	}
	if o.expires == "" {
		o.expires = "60"
	}
	config := sts.Options{
		Region: "ap-northeast-2",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: keyID, SecretAccessKey: o.secret, SessionToken: "token"}, nil
		}),
	}
	if o.endpoint != "" {
		config.BaseEndpoint = &o.endpoint
	}
	signer := presigner{v4.NewSigner(), o.at, o.extra}
	client := sts.NewPresignClient(sts.New(config), func(p *sts.PresignOptions) { p.Presigner = signer })
	got, err := client.PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}, func(p *sts.PresignOptions) {
		p.ClientOptions = append(p.ClientOptions, func(so *sts.Options) {
			so.APIOptions = append(so.APIOptions,
				smithyhttp.SetHeaderValue(clusterHeader, o.cluster), smithyhttp.SetHeaderValue("X-Amz-Expires", o.expires))
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return encode(got.URL)
}

func encode(url string) string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(url))
}

type presigner struct {
	signer *v4.Signer
	at     time.Time
	change func(*http.Request)
}

func (p presigner) PresignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	if !p.at.IsZero() {
		at = p.at
	}
	if p.change != nil {
		p.change(r)
	}
	// As the SDK's own: X-Amz-Expires goes into the query.
	query := r.URL.Query()
	query.Set("X-Amz-Expires", r.Header.Get("X-Amz-Expires"))
	r.Header.Del("X-Amz-Expires")
	r.URL.RawQuery = query.Encode()
	return p.signer.PresignHTTP(ctx, c, r, hash, service, region, at, opts...)
}

// ask sends a review to the handler and decodes the answer.
func ask[T any](t testing.TB, h http.Handler, path string, object any) (out T, status int) {
	t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body))))
	if rec.Code == http.StatusOK {
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	}
	return out, rec.Code
}

func askToken(t testing.TB, h http.Handler, token string) authenticationv1.TokenReviewStatus {
	t.Helper()
	in := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{"https://kubernetes.default.svc"}}}
	in.APIVersion, in.Kind = tokenReview.ToAPIVersionAndKind()
	out, status := ask[authenticationv1.TokenReview](t, h, TokenPath, in)
	if status != http.StatusOK || out.APIVersion != in.APIVersion || out.Kind != in.Kind || out.Spec.Token != "" {
		t.Errorf("status %d, answer %+v", status, out)
	}
	return out.Status
}

func TestToken(t *testing.T) {
	w := &world{signer: role, access: Access{Mode: ModeAPI, Entries: []Entry{{PrincipalARN: roleARN, PrincipalID: "AROADEV", Groups: []string{"viewers"}}}}}
	h := w.handler()
	want := authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
		Username: "arn:aws:sts::123456789012:assumed-role/dev/ann-example.com",
		UID:      "aws-iam-authenticator:123456789012:AROADEV",
		Groups:   []string{"viewers"},
		Extra: map[string]authenticationv1.ExtraValue{
			"accessKeyId":  {keyID},
			"arn":          {"arn:aws:sts::123456789012:assumed-role/dev/ann@example.com"},
			"canonicalArn": {"arn:aws:iam::123456789012:role/dev"},
			"principalId":  {"AROADEV"},
			"sessionName":  {"ann@example.com"},
			"sigs.k8s.io/aws-iam-authenticator/principalId": {"AROADEV"},
		},
	}}
	for name, o := range map[string]options{
		"AWS's host":                 {},
		"the host without a region":  {endpoint: "https://sts.amazonaws.com"},
		"another region's":           {endpoint: "https://sts.us-east-1.amazonaws.com"},
		"FIPS":                       {endpoint: "https://sts-fips.us-east-1.amazonaws.com"},
		"the region's own":           {endpoint: local},
		"the same by name":           {endpoint: "http://localhost:4566"},
		"the one in the VPC":         {endpoint: endpoint},
		"the longest life":           {expires: "900"},
		"almost fifteen minutes old": {at: time.Now().Add(-14*time.Minute - 50*time.Second)},
	} {
		if diff := cmp.Diff(want, askToken(t, h, presign(t, o))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, c := range map[string]struct {
		o    options
		want string
	}{
		"another cluster's": {options{cluster: "other"}, "does not match the signature"},
		"another secret":    {options{secret: "x"}, "does not match the signature"},
		"too old":           {options{at: time.Now().Add(-16 * time.Minute)}, "Signature expired"},
		"a foreign host":    {options{endpoint: "https://example.com"}, `unexpected hostname "example.com" in pre-signed URL`},
		"looks like STS":    {options{endpoint: "https://sts.evil.com"}, `unexpected hostname "sts.evil.com"`},
		"another port":      {options{endpoint: "http://127.0.0.1:4567"}, `unexpected hostname "127.0.0.1:4567"`},
		"AWS in the clear":  {options{endpoint: "http://sts.amazonaws.com"}, `unexpected scheme "http"`},
		"a path":            {options{endpoint: local + "/x/"}, "unexpected path"},
		"too long a life":   {options{expires: "901"}, `invalid X-Amz-Expires parameter in pre-signed URL: "901"`},
		"no life":           {options{expires: "x"}, "invalid X-Amz-Expires"},
		"another action": {options{extra: func(r *http.Request) {
			r.URL.RawQuery = "Action=AssumeRole&Version=2011-06-15"
		}}, "unexpected action parameter"},
		"a parameter more": {options{extra: func(r *http.Request) {
			r.URL.RawQuery = "Action=GetCallerIdentity&Version=2011-06-15&Foo=1"
		}}, `non-whitelisted query parameter "Foo"`},
		"a parameter twice": {options{extra: func(r *http.Request) {
			r.URL.RawQuery = "Action=GetCallerIdentity&action=GetCallerIdentity&Version=2011-06-15"
		}}, "query parameter with multiple values not supported"},
		"no cluster": {options{extra: func(r *http.Request) { r.Header.Del(clusterHeader) }}, "client did not sign the x-k8s-aws-id header"},
	} {
		w.log.Reset()
		got := askToken(t, h, presign(t, c.o))
		if got.Authenticated || !strings.Contains(got.Error, c.want) {
			t.Errorf("%s: %+v, want an error with %q", name, got, c.want)
		}
		if !strings.Contains(w.log.String(), "access denied") {
			t.Errorf("%s: the log does not say why: %s", name, w.log.String())
		}
	}
	for _, token := range []string{"", "eyJhbGciOiJSUzI1NiJ9.e30.x", "k8s-aws-v2.aHR0cHM6"} {
		if got := askToken(t, h, token); got.Authenticated || got.Error != "" {
			t.Errorf("a token that is not AWS's: %+v", got)
		}
	}
	for _, token := range []string{tokenPrefix, tokenPrefix + "!", encode("%"), encode("https://u:p@sts.amazonaws.com/?Action=GetCallerIdentity"), tokenPrefix + strings.Repeat("A", maxToken)} {
		if got := askToken(t, h, token); got.Authenticated || !strings.HasPrefix(got.Error, "input token was not properly formatted: ") {
			t.Errorf("%.40q: %+v", token, got)
		}
	}
	// Every character of a valid token counts.
	u := presign(t, options{endpoint: local})
	text, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(u, tokenPrefix))
	for _, swap := range [][2]string{{"ap-northeast-2", "ap-northeast-1"}, {"sts%2F", "ec2%2F"}, {keyID, "ASIAQHM7TBABAAAAAAAB"}, {"Expires=60", "Expires=61"}, {"Token=token", "Token=tokeN"}} {
		changed := strings.Replace(string(text), swap[0], swap[1], 1)
		if changed == string(text) {
			t.Fatalf("%s does not hold %s", text, swap[0])
		}
		if got := askToken(t, h, encode(changed)); got.Authenticated {
			t.Errorf("%s for %s: authenticated", swap[1], swap[0])
		}
	}
}

func TestReviewRefused(t *testing.T) {
	h := (&world{}).handler()
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"GET":          {"GET", TokenPath, "", 405, ""},
		"another path": {"POST", "/x", "{}", 404, ""},
		"no JSON":      {"POST", AccessPath, "x", 400, "decoding a SubjectAccessReview"},
		"old version":  {"POST", TokenPath, `{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview"}`, 400, "configure the API server's webhook for version v1"},
		"another kind": {"POST", PodPath, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview"}`, 400, "expected admission.k8s.io/v1 AdmissionReview"},
		"no request":   {"POST", PodPath, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "holds no request"},
		"too large":    {"POST", PodPath, strings.Repeat(" ", maxReview+1), 413, ""},
		"wrong type":   {"POST", TokenPath, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":1}`, 400, "decoding a TokenReview"},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if body, _ := io.ReadAll(rec.Body); rec.Code != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %s", name, rec.Code, body)
		}
	}
}

func FuzzToken(f *testing.F) {
	w := &world{signer: user, access: Access{Mode: ModeAPI, Entries: []Entry{{PrincipalARN: userARN}}}}
	h := w.handler()
	f.Add("https://sts.ap-northeast-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" +
		keyID + "%2F20261123%2Fap-northeast-2%2Fsts%2Faws4_request&X-Amz-Date=20261123T080000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature=00")
	f.Fuzz(func(t *testing.T, url string) {
		for _, token := range []string{url, tokenPrefix + url, encode(url)} {
			if user, by, err := h.authenticate(context.Background(), token); err == nil {
				t.Fatalf("%q is %v by %s", token, user, by)
			}
		}
	})
}

// FuzzReview sends anything to each of the webhooks.
func FuzzReview(f *testing.F) {
	w := &world{signer: user, access: Access{Mode: ModeAPIAndConfig, Entries: []Entry{{PrincipalARN: userARN, Policies: []Association{{Policy: "AmazonEKSViewPolicy", Namespaces: []string{"d*"}}}}}}}
	h := w.handler()
	f.Add(TokenPath, []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"k8s-aws-v1.aHR0cHM6"}}`))
	f.Add(AccessPath, []byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"resourceAttributes":{"verb":"get","namespace":"dev","resource":"pods"},"extra":{"canonicalArn":["`+userARN+`"]}}}`))
	f.Add(PodPath, []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","object":{"spec":{"containers":[{"name":"a"}]}}}}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if path != TokenPath && path != AccessPath && path != PodPath {
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body))))
		switch rec.Code {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		case http.StatusOK:
			if !json.Valid(rec.Body.Bytes()) {
				t.Fatalf("the answer is no JSON: %s", rec.Body)
			}
			if strings.Contains(rec.Body.String(), `"denied":true`) {
				t.Fatalf("denied: %s", rec.Body)
			}
		default:
			t.Fatalf("status %d: %s", rec.Code, rec.Body)
		}
	})
}
