package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// inert defines upstream's flags that change nothing here: of other clouds, and
// those that tune how upstream computes what is computed another way. They are
// taken so that a manifest works as it is.
func inert(f *pflag.FlagSet) {
	f.String("cluster-name", "", "Autoscaled cluster name, if available")
	f.Bool("regional", false, "Cluster is regional.")
	f.Bool("parallel-scale-up", false, "Whether to allow parallel node groups scale up. Of no effect.")
	f.Bool("frequent-loops-enabled", true, "Whether clusterautoscaler triggers new iterations more frequently when it's needed. Of no effect: it does.")
	f.Bool("clusterapi-cloud-config-authoritative", false, "Treat the cloud-config flag authoritatively (do not fallback to using kubeconfig flag). ClusterAPI only")
	f.Int("gce-concurrent-refreshes", 1, "Maximum number of concurrent refreshes per cloud object type. GCE only")
	f.Duration("gce-mig-instances-min-refresh-wait-time", 5*time.Second, "The minimum time which needs to pass before GCE MIG instances from a given MIG can be refreshed.")
	f.Bool("bulk-mig-instances-listing-enabled", false, "Fetch GCE mig instances in bulk instead of per mig")
	f.Duration("max-bulk-soft-taint-time", 3*time.Second, "Maximum duration of tainting/untainting nodes as PreferNoSchedule at the same time. Of no effect.")
	f.Duration("max-binpacking-time", 5*time.Minute, "Maximum time spend on binpacking for a single scale-up. Of no effect: it takes less.")
	f.Duration("max-nodegroup-binpacking-duration", 10*time.Second, "Maximum time that will be spent in binpacking simulation for each NodeGroup. Of no effect: it takes less.")
	f.Duration("scale-down-simulation-timeout", 30*time.Second, "How long should we run scale down simulation. Of no effect: it takes less.")
	f.Duration("unremovable-node-recheck-timeout", 5*time.Minute, "The timeout before we check again a node that couldn't be removed before. Of no effect: it is checked each time.")
	f.Duration("node-info-cache-expire-time", 87600*time.Hour, "Node Info cache expire time for each item. Of no effect: nothing is cached.")
	f.Duration("node-deletion-batcher-interval", 0, "How long CA ScaleDown gather nodes to delete them in batch. Of no effect: AWS ends instances one by one.")
	f.Duration("node-deletion-candidate-ttl", 0, "Maximum time a node can be marked as removable before the marking becomes stale. Of no effect: the marking is not read.")
	f.Bool("dynamic-node-delete-delay-after-taint-enabled", false, "Enables dynamic adjustment of NodeDeleteDelayAfterTaint based of the latency between CA and api-server. Of no effect.")
	f.Int("cluster-snapshot-parallelism", 16, "Maximum parallelism of cluster snapshot creation. Of no effect.")
	f.Int("predicate-parallelism", 4, "Maximum parallelism of scheduler predicate checking. Of no effect.")
	f.Int("pod-injection-limit", 5000, "Limits total number of pods while injecting fake pods. Of no effect.")
	f.Duration("provisioning-request-initial-backoff-time", time.Minute, "Initial backoff time for ProvisioningRequest retry after failed ScaleUp. Of no effect.")
	f.Duration("provisioning-request-max-backoff-time", 10*time.Minute, "Max backoff time for ProvisioningRequest retry after failed ScaleUp. Of no effect.")
	f.Int("provisioning-request-max-backoff-cache-size", 1000, "Max size for ProvisioningRequest cache size used for retry backoff mechanism. Of no effect.")
	f.Bool("check-capacity-batch-processing", false, "Whether to enable batch processing for check capacity requests. Of no effect.")
	f.Int("check-capacity-provisioning-request-max-batch-size", 10, "Maximum number of provisioning requests to process in a single batch. Of no effect.")
	f.Duration("check-capacity-provisioning-request-batch-timebox", 10*time.Second, "Maximum time to process a batch of provisioning requests. Of no effect.")
	f.Bool("enable-csi-node-aware-scheduling", false, "Whether logic for handling CSINode objects is enabled. Of no effect: it is.")
	f.Bool("force-delete-failed-nodes", false, "Whether to enable force deletion of failed nodes, regardless of the min size of the node group the belong to. Of no effect: AWS has none.")
	for name, usage := range refused {
		if _, text := asText[name]; text {
			f.String(name, "", usage+" Not supported.")
			continue
		}
		f.Bool(name, false, usage+" Not supported.")
	}
}

// refused are flags that ask for what there is not. Their defaults are taken.
var refused = map[string]string{
	"scheduler-config-file":                 "scheduler-config allows changing configuration of in-tree scheduler plugins acting on PreFilter and Filter extension points.",
	"grpc-expander-cert":                    "Path to cert used by gRPC server over TLS.",
	"grpc-expander-url":                     "URL to reach gRPC expander server.",
	"check-capacity-processor-instance":     "Name of the processor instance.",
	"enable-provisioning-requests":          "Whether the clusterautoscaler will be handling the ProvisioningRequest CRs.",
	"enable-proactive-scaleup":              "Whether to enable/disable proactive scale-ups, defaults to false.",
	"enable-dynamic-resource-allocation":    "Whether logic for handling DRA (Dynamic Resource Allocation) objects is enabled.",
	"async-node-groups":                     "Whether clusterautoscaler creates and deletes node groups asynchronously.",
	"debugging-snapshot-enabled":            "Whether the debugging snapshot of cluster autoscaler feature is enabled.",
	"capacity-buffer-controller-enabled":    "Whether to enable the default controller for capacity buffers or not.",
	"capacity-buffer-pod-injection-enabled": "Whether to enable pod list processor that processes ready capacity buffers and injects fake pods accordingly.",
}

var asText = map[string]struct{}{
	"scheduler-config-file": {}, "grpc-expander-cert": {}, "grpc-expander-url": {}, "check-capacity-processor-instance": {},
}

// unsupported is the error of a flag that asks for what there is not.
func unsupported(f *pflag.FlagSet) error {
	var err error
	f.Visit(func(flag *pflag.Flag) {
		if _, ok := refused[flag.Name]; ok && flag.Value.String() != flag.DefValue && err == nil {
			err = fmt.Errorf("--%s is not supported", flag.Name)
		}
	})
	return err
}
