package region

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tarn-eks/tarn/internal/authenticator"
	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/store"
)

// webhookPort is where the region answers an API server, on the control plane's
// own address. aws-iam-authenticator has the same.
const webhookPort = 21362

// webhooksURL is where the API server finds its webhooks.
func webhooksURL(c cluster.Config) string {
	return fmt.Sprintf("https://%s:%d", c.Address, webhookPort)
}

// writeWebhooks writes the files that tell the API server of its webhooks.
func (r *Region) writeWebhooks(c cluster.Config) error {
	ca, err := os.ReadFile(c.CAFile())
	if err != nil {
		return fmt.Errorf("reading the CA of cluster %s: %w", c.Name, err)
	}
	for _, f := range []struct {
		name string
		text func() ([]byte, error)
	}{
		{c.TokenWebhookFile(), func() ([]byte, error) { return authenticator.TokenWebhook(webhooksURL(c), ca) }},
		{c.AccessWebhookFile(), func() ([]byte, error) { return authenticator.AccessWebhook(webhooksURL(c), ca) }},
		{c.AuthorizationFile(), func() ([]byte, error) { return authenticator.AuthorizationConfig(c.AccessWebhookFile()) }},
	} {
		text, err := f.text()
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.name, text, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	return nil
}

// applySystem applies what every cluster has.
func (r *Region) applySystem(ctx context.Context, c cluster.Config) error {
	ca, err := os.ReadFile(c.CAFile())
	if err != nil {
		return fmt.Errorf("reading the CA of cluster %s: %w", c.Name, err)
	}
	return c.ApplySystem(ctx, authenticator.PodWebhook(webhooksURL(c), ca))
}

// webhooks answers the API server of a cluster.
func (r *Region) webhooks(n *network, c cluster.Config) http.Handler {
	verifier, connect := sigv4.New(sigv4.Config{}), sync.OnceValues(c.Client)
	return authenticator.New(authenticator.Config{
		Cluster: c.Name, Region: c.Region, Logger: r.logger,
		Endpoint: endpointInVPC(n.record.CIDR),
		Hosts:    r.endpointHosts(n),
		Verify: func(ctx context.Context, request *http.Request) (authenticator.Signer, error) {
			return r.verify(ctx, verifier, request)
		},
		Access: func(ctx context.Context) (authenticator.Access, error) { return r.access(ctx, c.Name) },
		AWSAuth: func(ctx context.Context) (map[string]string, error) {
			client, err := connect()
			if err != nil {
				return nil, err
			}
			m, err := client.CoreV1().ConfigMaps("kube-system").Get(ctx, "aws-auth", metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil, nil
			}
			return m.Data, err
		},
		PrivateDNSName: func(ctx context.Context, id string) (string, error) {
			i, err := r.ec2.Instances.Get(ctx, id)
			return i.Value.PrivateDNSName, err
		},
		ServiceAccount: func(ctx context.Context, namespace, name string) (map[string]string, error) {
			client, err := connect()
			if err != nil {
				return nil, err
			}
			a, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
			return a.Annotations, err
		},
	})
}

// endpointHosts are the names by which clients call the AWS endpoint.
func (r *Region) endpointHosts(n *network) []string {
	return []string{
		fmt.Sprintf("127.0.0.1:%d", r.identity.Ports.Endpoint), fmt.Sprintf("localhost:%d", r.identity.Ports.Endpoint),
		fmt.Sprintf("%s:%d", servicesAddress(n.record.CIDR), DefaultPorts.Endpoint),
	}
}

// verify says who signed a request.
func (r *Region) verify(ctx context.Context, verifier *sigv4.Verifier, request *http.Request) (authenticator.Signer, error) {
	claimed, err := sigv4.Claimed(request)
	if err != nil {
		return authenticator.Signer{}, err
	}
	keys := keyring{r.iam, r.sts}
	var signer authenticator.Signer
	_, err = verifier.Verify(request, time.Now(), func(id string) (sigv4.Secret, error) {
		c, err := keys.Find(ctx, id, claimed.SessionToken)
		signer = authenticator.Signer{Principal: c.Caller.Principal, AccessKeyID: id}
		return c.Secret, err
	})
	if err != nil {
		return authenticator.Signer{}, err
	}
	return signer, nil
}

// access is who may enter a cluster, by EKS's API.
func (r *Region) access(ctx context.Context, name string) (authenticator.Access, error) {
	c, err := r.eks.Clusters.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return authenticator.Access{}, fmt.Errorf("cluster %s was deleted", name)
	}
	if err != nil {
		return authenticator.Access{}, err
	}
	entries, _, err := r.eks.AccessEntries.List(ctx, name+"/")
	if err != nil {
		return authenticator.Access{}, err
	}
	a := authenticator.Access{Mode: c.Value.AuthenticationMode}
	for _, item := range entries {
		e := item.Value
		if e.Creator {
			a.Creator = e.Principal
		}
		a.Entries = append(a.Entries, entry(e))
	}
	return a, nil
}

func entry(e eks.AccessEntry) authenticator.Entry {
	out := authenticator.Entry{PrincipalARN: e.Principal, Type: e.Type, Username: e.Username, Groups: e.Groups}
	for _, p := range e.Policies {
		out.Policies = append(out.Policies, authenticator.Association{
			Policy: p.ARN, Namespaces: p.Namespaces, Cluster: p.Scope == "cluster",
		})
	}
	return out
}
