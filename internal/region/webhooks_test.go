package region

import (
	"bytes"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/authenticator"
	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/sigv4"
)

func TestEntry(t *testing.T) {
	const clusterAdmin = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
	const view = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
	got := entry(eks.AccessEntry{
		Cluster: "c", ID: "1", Principal: "arn:aws:iam::000000000000:role/p/dev", Type: "STANDARD", Username: "dev:{{SessionName}}", Groups: []string{"viewers"},
		Policies: []eks.AssociatedPolicy{{ARN: clusterAdmin, Scope: "cluster"}, {ARN: view, Scope: "namespace", Namespaces: []string{"a", "dev-*"}}},
	})
	want := authenticator.Entry{
		PrincipalARN: "arn:aws:iam::000000000000:role/p/dev", Type: "STANDARD", Username: "dev:{{SessionName}}", Groups: []string{"viewers"},
		Policies: []authenticator.Association{{Policy: clusterAdmin, Cluster: true}, {Policy: view, Namespaces: []string{"a", "dev-*"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAccess(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	if _, err := r.access(t.Context(), "eks-work"); err == nil || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("without a cluster: %v", err)
	}
	r.withCluster(t, cc)
	node := r.withRole(t, "node")
	call[eksapi.CreateAccessEntryOutput](t, r, "eks", "CreateAccessEntry", &eksapi.CreateAccessEntryInput{
		ClusterName: new("eks-work"), PrincipalArn: &node, Type: new("EC2_LINUX"),
	})
	// Those of another cluster are none of this one's, though its name begins alike.
	other := eks.AccessEntry{Cluster: "eks-work-2", Principal: "arn:aws:iam::000000000000:role/other"}
	if _, err := r.eks.AccessEntries.Create(t.Context(), other.Key(), other); err != nil {
		t.Fatal(err)
	}
	got, err := r.access(t.Context(), "eks-work")
	if err != nil {
		t.Fatal(err)
	}
	root := "arn:aws:iam::000000000000:root"
	want := authenticator.Access{Mode: "API_AND_CONFIG_MAP", Creator: root, Entries: []authenticator.Entry{
		{PrincipalARN: node, Type: "EC2_LINUX", Username: "system:node:{{EC2PrivateDNSName}}", Groups: []string{"system:nodes"}},
		{PrincipalARN: root, Type: "STANDARD", Username: root, Policies: []authenticator.Association{
			{Policy: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", Cluster: true},
		}},
	}}
	slices.SortFunc(got.Entries, func(a, b authenticator.Entry) int { return strings.Compare(a.PrincipalARN, b.PrincipalARN) })
	slices.SortFunc(want.Entries, func(a, b authenticator.Entry) int { return strings.Compare(a.PrincipalARN, b.PrincipalARN) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// signed is a presigned GetCallerIdentity, as it is in a token for the API server.
func signed(t *testing.T, c aws.Credentials) *http.Request {
	t.Helper()
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://sts.ap-northeast-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("x-k8s-aws-id", "eks-work")
	url, _, err := v4.NewSigner().PresignHTTP(t.Context(), c, request, emptyHash, "sts", "ap-northeast-2", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.Header.Set("x-k8s-aws-id", "eks-work")
	got.RequestURI = got.URL.RequestURI()
	return got
}

func TestVerify(t *testing.T) {
	r := newRegion(t)
	verifier := sigv4.New(sigv4.Config{})
	keys, err := LoadCredentials(string(r.layout))
	if err != nil {
		t.Fatal(err)
	}
	root := aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey}
	got, err := r.verify(t.Context(), verifier, signed(t, root))
	if err != nil || got.Principal != r.root.Principal || got.AccessKeyID != keys.AccessKeyID {
		t.Errorf("root: %+v, %v", got, err)
	}
	c := r.session(t, r.withRole(t, "node"))
	session := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	got, err = r.verify(t.Context(), verifier, signed(t, session))
	if err != nil || got.Principal.Type != policy.AssumedRole || got.Principal.ARN != "arn:aws:sts::000000000000:assumed-role/node/i-1" {
		t.Errorf("a session: %+v, %v", got, err)
	}
	forged, unknown, foreign := root, root, session
	forged.SecretAccessKey += "x"
	unknown.AccessKeyID = "AKIAAAAAAAAAAAAAAAAA"
	foreign.SessionToken = r.session(t, "arn:aws:iam::000000000000:role/node").SessionToken
	unsigned := signed(t, root)
	unsigned.URL.RawQuery = "Action=GetCallerIdentity&Version=2011-06-15"
	for name, request := range map[string]*http.Request{
		"another secret": signed(t, forged), "a key that nobody has": signed(t, unknown), "another session's token": signed(t, foreign), "no signature": unsigned,
	} {
		if got, err := r.verify(t.Context(), verifier, request); err == nil || got != (authenticator.Signer{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWriteWebhooks(t *testing.T) {
	r := newRegion(t)
	c := cluster.Config{
		Name: "c", ID: "1", Region: "ap-northeast-2", Dir: r.layout.cluster("c"), Etcd: r.store.Endpoint(), LocalAddress: "127.0.0.1:6443",
		Address: addr("192.168.0.10"), ServiceCIDR: builtIn().ServiceCIDR,
	}
	if err := r.writeWebhooks(c); err == nil || !strings.Contains(err.Error(), "cluster c") {
		t.Errorf("before there is a CA: %v", err)
	}
	if err := c.Prepare(); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(c.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second over the first
		if err := r.writeWebhooks(c); err != nil {
			t.Fatal(err)
		}
		for file, url := range map[string]string{
			c.TokenWebhookFile(): "https://192.168.0.10:21362/authenticate", c.AccessWebhookFile(): "https://192.168.0.10:21362/authorize",
		} {
			config, err := clientcmd.BuildConfigFromFlags("", file)
			if err != nil || config.Host+config.APIPath != url || !bytes.Equal(config.CAData, ca) {
				t.Errorf("%s leads to %+v, %v", file, config, err)
			}
			private(t, file)
		}
		private(t, c.AuthorizationFile())
		if text, err := os.ReadFile(c.AuthorizationFile()); err != nil || !strings.Contains(string(text), c.AccessWebhookFile()) {
			t.Errorf("%s, %v", text, err)
		}
	}
}

func TestEndpointsInAVPC(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	v, _ := r.withNetwork(t, cc)
	n, err := r.networkOf(v.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := endpointInVPC(v.CIDR); got != "http://192.168.0.3:4566" {
		t.Error(got)
	}
	r.identity.Ports.Endpoint = 7566
	if got, want := r.endpointHosts(n), []string{"127.0.0.1:7566", "localhost:7566", "192.168.0.3:4566"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := r.networkOf("vpc-0"); err == nil || !strings.Contains(err.Error(), "vpc-0") {
		t.Error(err)
	}
}
