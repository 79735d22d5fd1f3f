package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/yaml"

	"github.com/tarn-eks/tarn/internal/autoscaler"
)

func TestTheLessonsCommand(t *testing.T) {
	s, err := parse([]string{
		"--v=4", "--stderrthreshold=info", "--cloud-provider=aws", "--skip-nodes-with-local-storage=false",
		"--nodes=3:5:eks-eks-work-nodegroup-c4c9c78f-c14e-3f1b-74e6-629a0886691d",
	}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	want := autoscaler.Spec{Name: "eks-eks-work-nodegroup-c4c9c78f-c14e-3f1b-74e6-629a0886691d", Min: 3, Max: 5}
	if len(s.groups) != 1 || s.groups[0] != want {
		t.Errorf("groups: %v", s.groups)
	}
	options := autoscaler.Defaults()
	options.SkipLocalStorage = false
	if got, want := fmt.Sprintf("%+v", s.options), fmt.Sprintf("%+v", options); got != want {
		t.Errorf("options\n%s\nwant\n%s", got, want)
	}
	if s.scanInterval != 10*time.Second || s.address != ":8085" || s.statusName() != "cluster-autoscaler-status" || s.namespace != "kube-system" || !s.election.LeaderElect {
		t.Errorf("%+v", s)
	}
}

// The example is the lesson's, and its policy is one.
func TestTheExample(t *testing.T) {
	manifest, err := os.ReadFile("../../examples/cluster-autoscaler/cluster_autoscaler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(string(manifest), "\n---\n")
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(documents[len(documents)-1]), &d); err != nil {
		t.Fatal(err)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if d.Name != "cluster-autoscaler" || d.Namespace != "kube-system" || c.Command[0] != "./cluster-autoscaler" {
		t.Errorf("%s/%s runs %q", d.Namespace, d.Name, c.Command)
	}
	if s, err := parse(c.Command[1:], t.Output()); err != nil || len(s.groups) != 1 || s.options.SkipLocalStorage {
		t.Errorf("%+v, %v", s, err)
	}
	text, err := os.ReadFile("../../examples/cluster-autoscaler/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Version   string
		Statement []struct {
			Effect           string
			Action, Resource []string
		}
	}
	if err := json.Unmarshal(text, &policy); err != nil || policy.Version != "2012-10-17" || len(policy.Statement) != 2 {
		t.Errorf("%+v, %v", policy, err)
	}
}

func TestFlags(t *testing.T) {
	s, err := parse([]string{
		"--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled", "--expander=priority,least-waste", "--scale_down_unneeded_time=30s",
		"--max-graceful-termination-sec=5", "--cores-total=2:100", "--memory-total=1:200", "--balance-similar-node-groups", "--write-status-configmap=false",
		"--ignore-taint=a", "--startup-taint=b", "--gce-concurrent-refreshes=3", "--leader-elect=false", "--enable-provisioning-requests=false",
	}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	got := fmt.Sprintf("%v %v %v %v %d:%d %d:%d %v %q %v %v", s.discover, o.Expanders, o.UnneededTime, o.MaxGracefulTermination,
		o.MinCores, o.MaxCores, o.MinMemory>>30, o.MaxMemory>>30, o.BalanceSimilar, s.statusName(), o.StartupTaints, s.election.LeaderElect)
	if want := `[map[k8s.io/cluster-autoscaler/enabled:]] [priority least-waste] 30s 5s 2:100 1:200 true "" [a b] false`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	s, err = parse([]string{"--drain-priority-config=10000:20,0:60"}, t.Output())
	if err != nil || fmt.Sprint(s.options.DrainPriorities) != "[{10000 20s} {0 1m0s}]" {
		t.Errorf("%v, %v", s.options.DrainPriorities, err)
	}
}

func TestWrongFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--cloud-provider=gce":                "Unknown cloud provider: gce",
		"--expander=price":                    "Expander price not supported",
		"--expander=random,random":            "Expander random was specified multiple times, each expander must not be specified more than once",
		"--nodes=x":                           "Failed to create AWS Manager: failed to parse node group spec: wrong nodes configuration: x",
		"--node-group-auto-discovery=mig:x=y": "Failed to create AWS Manager: unsupported discoverer specified: mig",
		"--cores-total=5:3":                   "Failed to parse flags: max size must be greater or equal to min size",
		"--enable-provisioning-requests":      "--enable-provisioning-requests is not supported",
		"--drain-priority-config=1":           "Invalid configuration, parsing --drain-priority-config: '1' is not a priority and grace period couple separated by ':'",
		"--drain-priority-config=1:1 --max-graceful-termination-sec=600": "Invalid configuration, could not use --drain-priority-config together with --max-graceful-termination-sec",
	} {
		if _, err := parse(strings.Fields(args), t.Output()); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
	for args, want := range map[string]string{
		"--scale-up-fast":     "unknown flag: --scale-up-fast",
		"--scan-interval=ten": `invalid argument "ten" for "--scan-interval" flag: time: invalid duration "ten"`,
	} {
		var said bytes.Buffer
		err := run(context.Background(), []string{args}, &said)
		if !errors.Is(err, errUsage) || !strings.HasPrefix(said.String(), want+"\nUsage of cluster-autoscaler:\n") {
			t.Errorf("%s: %v\n%.200s", args, err, said.String())
		}
	}
	if err := run(context.Background(), []string{"--help"}, t.Output()); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

func TestLead(t *testing.T) {
	s, err := parse([]string{"--leader-elect-retry-period=10ms"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("it failed")
	for name, f := range map[string]func(context.Context, context.CancelFunc) error{
		"until the program ends": func(ctx context.Context, end context.CancelFunc) error {
			end()
			<-ctx.Done()
			return nil
		},
		"until it fails": func(context.Context, context.CancelFunc) error { return failure },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			defer end()
			var want error
			if name == "until it fails" {
				want = failure
			}
			over := false
			err := lead(ctx, s, fake.NewClientset(), record.NewFakeRecorder(10), func(leading context.Context) error {
				err := f(leading, end)
				over = true
				return err
			})
			if !errors.Is(err, want) || !over {
				t.Errorf("%v, over %v", err, over)
			}
		})
	}
}

const lessonsCloudConfig = `
[global]
zone = ap-northeast-2a
kubernetesClusterID = eks-work

[ServiceOverride "1"]
service = autoscaling
region = ap-northeast-2
url = http://192.168.0.2:4566
signingRegion = ap-northeast-2

[ServiceOverride "2"]
service = ec2
url = http://192.168.0.2:4567
`

func TestCloudConfig(t *testing.T) {
	o, err := parseCloudConfig(lessonsCloudConfig)
	if err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]string{"autoscaling": "http://192.168.0.2:4566", "ec2": "http://192.168.0.2:4567", "eks": ""} {
		var url *string
		region := o.region
		o.apply(service, &url, &region)
		got := ""
		if url != nil {
			got = *url
		}
		if got != want || region != "ap-northeast-2" {
			t.Errorf("%s: %q in %s, want %q", service, got, region, want)
		}
	}
	if _, err := readCloudConfig("/nonexistent"); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func FuzzCloudConfig(f *testing.F) {
	f.Add(lessonsCloudConfig)
	f.Add("[ServiceOverride \"1\"]\nservice")
	f.Add("[Global]\nRegion = x")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseCloudConfig(text)
		if err != nil {
			return
		}
		var url *string
		region := "us-east-1"
		o.apply("ec2", &url, &region)
	})
}
