// Package deptest keeps the house in order: its test fails when an import
// points up, or leads to where it may not. It is data and a check, nothing
// imports it.
package deptest

// module is the import path that the paths below are relative to.
const module = "github.com/tarn-eks/tarn"

// floor is a part of the house.
type floor struct {
	name string
	// rooms are paths of packages. One that ends in /... means all below it that
	// are not named elsewhere.
	rooms []string
}

// floors are the house, from the ground up. A package imports packages of the
// module from lower floors only: those of one floor do not know each other.
// A new package needs a floor.
var floors = []floor{
	{"ground: what could be a module of its own", []string{
		"internal/api",
		"internal/arn",
		"internal/hostedzone",
		"internal/http1",
		"internal/image",
		"internal/instance/programs",
		"internal/instancetype",
		"internal/namespace",
		"internal/pki",
		"internal/policy",
		"internal/proc",
		"internal/sigv4",
		"internal/subnet",
		"internal/userdata",
	}},
	{"parts: data planes, the store, what clusters and instances are made of", []string{
		"images",
		"images/build",
		"internal/api/...",
		"internal/authenticator",
		"internal/caller",
		"internal/cluster",
		"internal/cluster/advice",
		"internal/cni",
		"internal/dns",
		"internal/eksctl",
		"internal/healthcheck",
		"internal/hostdns",
		"internal/imds",
		"internal/instance",
		"internal/loadbalancer",
		"internal/metrics",
		"internal/proxy",
		"internal/registry",
		"internal/store",
		"internal/trail",
		"internal/truststore",
		"internal/vpc",
		"internal/wire",
	}},
	{"upstream Kubernetes, AWS services", []string{
		"internal/autoscaler",
		"internal/cluster/controlplane",
		"internal/gateway",
		"internal/instance/node",
		"internal/loadbalancer/loadbalancertest",
		"internal/service/...",
		"internal/store/storetest",
		"internal/wire/wiretest",
	}},
	{"loops", []string{"internal/loop/..."}},
	{"the region", []string{"internal/region"}},
	{"commands, and what drives them", []string{"cmd/...", "test/..."}},
}

// apart are programs that run in containers, and packages of tests only. They
// import nothing of the module.
var apart = []string{"examples/...", "images/coredns", "images/metrics-server", "images/pause", "internal/deptest", "internal/wire/conformance"}

// dataPlanes act on the machine. They take plain values.
var dataPlanes = []string{
	"internal/cni", "internal/dns", "internal/healthcheck", "internal/imds", "internal/instance", "internal/proxy", "internal/registry", "internal/vpc",
}

// rule forbids imports.
type rule struct {
	from   []string // rooms
	except []string // rooms
	// to are import paths, with /... for all below; a path of the module is
	// relative to it.
	to []string
	// direct is for what may be reached through others.
	direct bool
	why    string
}

var rules = []rule{
	{
		from:   []string{"..."},
		except: []string{"cmd/cluster-autoscaler", "cmd/tarn", "internal/autoscaler", "internal/cluster/controlplane", "internal/instance/node"},
		to:     []string{"k8s.io/kubernetes/..."},
		why:    "it takes minutes to compile; everything else must build and test in seconds",
	},
	{
		from:   []string{"..."},
		except: []string{"cmd/...", "test/..."},
		to:     []string{"internal/region"},
		why:    "the region knows every part, and no part knows the region",
	},
	{
		from: []string{"internal/service/..."},
		to:   append([]string{"internal/cluster", "internal/namespace", "internal/proc"}, dataPlanes...),
		why:  "a service writes the desired state and returns; loops make it so",
	},
	{
		from: dataPlanes,
		to:   []string{"internal/service/...", "internal/store", "go.etcd.io/...", "k8s.io/..."},
		why:  "a data plane takes a snapshot of what to do, and knows neither the AWS API nor Kubernetes nor the store",
	},
	{
		from:   []string{"..."},
		except: []string{"internal/store"},
		to:     []string{"go.etcd.io/etcd/server/...", "go.etcd.io/bbolt/..."},
		direct: true,
		why:    "the region has one database, and package store is its door",
	},
	{
		from:   []string{"..."},
		except: []string{"internal/cni", "internal/namespace", "internal/vpc"},
		to:     []string{"github.com/vishvananda/...", "sigs.k8s.io/knftables/..."},
		direct: true,
		why:    "the host is left alone: links, routes and rules are made in namespaces of the region, in these packages",
	},
	{
		from:   []string{"..."},
		except: []string{"cmd/..."},
		to:     []string{"github.com/spf13/cobra/..."},
		direct: true,
		why:    "flags and subcommands are the command's",
	},
	{
		from: []string{"..."},
		except: []string{ // the cloud controller manager and the autoscaler are clients
			"cmd/cluster-autoscaler", "cmd/tarn", "internal/autoscaler", "internal/cluster/controlplane", "internal/wire/wiretest", "test/...",
		},
		to:     []string{"github.com/aws/..."},
		direct: true, // Prometheus' tsdb links some of it
		why:    "Tarn is what answers AWS's clients; they are for tests",
	},
	{
		from:   []string{"..."},
		except: []string{"internal/registry", "internal/store"},
		to:     []string{"github.com/sirupsen/logrus/...", "go.uber.org/zap/..."},
		direct: true,
		why:    "there is one logger, log/slog; these packages bridge their libraries' into it",
	},
	{
		from: []string{"examples/...", "images/pause"},
		to:   []string{"golang.org/...", "github.com/...", "k8s.io/...", "google.golang.org/..."},
		why:  "it runs once per pod: the standard library is enough",
	},
}
