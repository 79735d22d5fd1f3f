package authenticator

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/client-go/tools/clientcmd"
)

const base = "https://192.168.0.10:21443"

func TestWebhookFiles(t *testing.T) {
	for path, write := range map[string]func(string, []byte) ([]byte, error){
		"/authenticate": TokenWebhook,
		"/authorize":    AccessWebhook,
	} {
		text, err := write(base, []byte("PEM"))
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		if config.Host != base+path || string(config.CAData) != "PEM" {
			t.Errorf("%s: leads to %s with CA %q", path, config.Host, config.CAData)
		}
	}
}

// TestAuthorizationConfig has the API server's own code read the file.
func TestAuthorizationConfig(t *testing.T) {
	kubeconfig := t.TempDir() + "/access.kubeconfig"
	text, err := AuthorizationConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config, err := load.LoadFromData(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	file, err := AccessWebhook(base, []byte("PEM"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, kubeconfig, file)
	compiler := authorizationcel.NewDefaultCompiler()
	if errs := validation.ValidateAuthorizationConfiguration(compiler, nil, config, sets.New("Node", "RBAC", "Webhook"), sets.New("Webhook")); len(errs) > 0 {
		t.Errorf("%v\n%s", errs.ToAggregate(), text)
	}
	if got := config.Authorizers[2].Webhook; got.AuthorizedTTL.Duration != accessTTL || got.Timeout.Duration != 3*time.Second || got.FailurePolicy != "NoOpinion" {
		t.Errorf("webhook %+v", got)
	}
}

func TestPodWebhook(t *testing.T) {
	config := PodWebhook(base, []byte("PEM"))
	hook := config.Webhooks[0]
	u, err := url.Parse(*hook.ClientConfig.URL)
	if err != nil || u.Path != PodPath || !strings.HasPrefix(u.String(), base) || string(hook.ClientConfig.CABundle) != "PEM" {
		t.Errorf("leads to %+v", hook.ClientConfig)
	}
	if *hook.FailurePolicy != "Ignore" || *hook.SideEffects != "None" || *hook.ReinvocationPolicy != "IfNeeded" || hook.AdmissionReviewVersions[0] != "v1" {
		t.Errorf("webhook %+v", hook)
	}
}
