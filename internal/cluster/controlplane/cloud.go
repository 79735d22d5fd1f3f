package controlplane

import (
	"context"
	"fmt"

	cloudprovider "k8s.io/cloud-provider"
	aws "k8s.io/cloud-provider-aws/pkg/providers/v1"
	cloudcontrollermanager "k8s.io/cloud-provider/app"
	"k8s.io/cloud-provider/names"
	cloudoptions "k8s.io/cloud-provider/options"

	"github.com/tarn-eks/tarn/internal/cluster"
)

// runCloudControllerManager runs AWS's own: it makes load balancers of Services
// and removes Nodes whose instances are gone. It finds the AWS endpoint and its
// credentials by the SDK's environment variables.
func runCloudControllerManager(ctx context.Context, c cluster.Config) error {
	s, err := cloudoptions.NewCloudControllerManagerOptions()
	if err != nil {
		return fmt.Errorf("making options: %w", err)
	}
	constructors := cloudcontrollermanager.DefaultInitFuncConstructors
	all, disabled, aliases := cloudcontrollermanager.ControllerNames(constructors), cloudcontrollermanager.ControllersDisabledByDefault.List(), names.CCMControllerAliases()
	webhooks, disabledWebhooks := cloudcontrollermanager.AllWebhooks, cloudcontrollermanager.DisabledByDefaultWebhooks
	err = parse(s.Flags(all, disabled, aliases, webhooks, disabledWebhooks), map[string]string{
		"allocate-node-cidrs":       "false",
		"cloud-config":              c.CloudConfigFile(),
		"cloud-provider":            aws.ProviderName,
		"cluster-name":              c.Name,
		"configure-cloud-routes":    "false", // the VPC routes pods' addresses itself
		"controller-start-interval": "0s",
		"kube-api-burst":            apiBurst,
		"kube-api-qps":              apiQPS,
		"kubeconfig":                c.ComponentKubeconfig("cloud-controller-manager"),
		"leader-elect":              "false",
		"secure-port":               "0",
		"webhook-secure-port":       "0",
	})
	if err != nil {
		return err
	}
	config, err := s.Config(all, disabled, aliases, webhooks, disabledWebhooks)
	if err != nil {
		return fmt.Errorf("making the configuration: %w", err)
	}
	completed := config.Complete()
	cloud, err := cloudprovider.InitCloudProvider(aws.ProviderName, c.CloudConfigFile())
	if err != nil {
		return fmt.Errorf("reaching AWS: %w", err)
	}
	initializers := cloudcontrollermanager.ConstructControllerInitializers(constructors, completed, cloud)
	return cloudcontrollermanager.Run(completed, cloud, initializers, map[string]cloudcontrollermanager.WebhookHandler{}, ctx.Done())
}
