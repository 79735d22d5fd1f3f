package authenticator

import (
	"fmt"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// TokenWebhook is the file for the API server's
// --authentication-token-webhook-config-file (with
// --authentication-token-webhook-version=v1): a kubeconfig that leads to the token
// webhook. base is where the Handler is served, https://192.168.0.10:21443.
func TokenWebhook(base string, caPEM []byte) ([]byte, error) {
	return webhookKubeconfig(base+TokenPath, caPEM)
}

// AccessWebhook is the kubeconfig that leads to the authorization webhook, for
// AuthorizationConfig or for --authorization-webhook-config-file (with
// --authorization-webhook-version=v1).
func AccessWebhook(base string, caPEM []byte) ([]byte, error) {
	return webhookKubeconfig(base+AccessPath, caPEM)
}

func webhookKubeconfig(url string, caPEM []byte) ([]byte, error) {
	const name = "aws-iam-authenticator"
	text, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: url, CertificateAuthorityData: caPEM}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"apiserver": {}},
		Contexts:       map[string]*clientcmdapi.Context{"webhook": {Cluster: name, AuthInfo: "apiserver"}},
		CurrentContext: "webhook",
	})
	if err != nil {
		return nil, fmt.Errorf("writing the kubeconfig of webhook %s: %w", url, err)
	}
	return text, nil
}

// accessTTL is how long the API server remembers the webhook's answers: changes of
// access entries count after that. EKS promises seconds.
const accessTTL = 5 * time.Second

// AuthorizationConfig is the file for the API server's --authorization-config
// (instead of --authorization-mode): Node and RBAC as ever, then the webhook, which
// is asked about users of access entries only. kubeconfig is the path of
// AccessWebhook's file.
func AuthorizationConfig(kubeconfig string) ([]byte, error) {
	config := apiserverv1.AuthorizationConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "AuthorizationConfiguration"},
		Authorizers: []apiserverv1.AuthorizerConfiguration{
			{Type: "Node", Name: "node"},
			{Type: "RBAC", Name: "rbac"},
			{Type: "Webhook", Name: "eks-access-policies", Webhook: &apiserverv1.WebhookConfiguration{
				AuthorizedTTL:                            metav1.Duration{Duration: accessTTL},
				UnauthorizedTTL:                          metav1.Duration{Duration: accessTTL},
				Timeout:                                  metav1.Duration{Duration: 3 * time.Second},
				SubjectAccessReviewVersion:               "v1",
				MatchConditionSubjectAccessReviewVersion: "v1",
				FailurePolicy:                            "NoOpinion",
				ConnectionInfo:                           apiserverv1.WebhookConnectionInfo{Type: "KubeConfigFile", KubeConfigFile: &kubeconfig},
				MatchConditions: []apiserverv1.WebhookMatchCondition{
					{Expression: "has(request.extra) && '" + extraCanonical + "' in request.extra"},
				},
			}},
		},
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("writing the authorization configuration: %w", err)
	}
	return text, nil
}

// PodWebhook is the object that makes the API server send new pods to the pod
// webhook, as EKS has it in every cluster.
func PodWebhook(base string, caPEM []byte) *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "pod-identity-webhook"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    "iam-for-pods.amazonaws.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: new(strings.TrimSuffix(base, "/") + PodPath), CABundle: caPEM},
			AdmissionReviewVersions: []string{admissionReview.Version},
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			FailurePolicy:           new(admissionregistrationv1.Ignore),
			MatchPolicy:             new(admissionregistrationv1.Equivalent),
			ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
			TimeoutSeconds:          new(int32(10)),
			NamespaceSelector:       &metav1.LabelSelector{},
			ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "eks.amazonaws.com/skip-pod-identity-webhook", Operator: metav1.LabelSelectorOpDoesNotExist},
			}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{corev1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
					Scope: new(admissionregistrationv1.AllScopes),
				},
			}},
		}},
	}
}
