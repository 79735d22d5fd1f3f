package region

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	dir := shortDir(t)
	if _, err := LoadIdentity(dir); !errors.Is(err, fs.ErrNotExist) || Exists(dir) {
		t.Errorf("before there is a region: %v, exists %v", err, Exists(dir))
	}
	want := Identity{Account: "123456789012", Region: "us-east-1", Cluster: "c", Ports: Ports{Endpoint: 7566, API: 7443, Registry: 7000}}
	for range 2 { // the second time over the first
		if err := want.save(layout(dir)); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadIdentity(dir); err != nil || got != want || !Exists(dir) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		want.Cluster = "d"
	}
	if left, err := filepath.Glob(layout(dir).identity() + ".*"); err != nil || left != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	for _, damage := range []string{"", "{", `{"account": 7}`} {
		if err := os.WriteFile(layout(dir).identity(), []byte(damage), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := LoadIdentity(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "tarn delete") {
			t.Errorf("%q: %v", damage, err)
		}
	}
}

func TestOverride(t *testing.T) {
	known := Ports{Endpoint: 1, API: 2, Registry: 3}
	for _, test := range []struct{ by, want Ports }{
		{Ports{}, known},
		{Ports{Endpoint: 4}, Ports{Endpoint: 4, API: 2, Registry: 3}},
		{Ports{API: 4}, Ports{Endpoint: 1, API: 4, Registry: 3}},
		{Ports{Registry: 4}, Ports{Endpoint: 1, API: 2, Registry: 4}},
		{Ports{Endpoint: 4, API: 5, Registry: 6}, Ports{Endpoint: 4, API: 5, Registry: 6}},
	} {
		if got := override(known, test.by); got != test.want {
			t.Errorf("%+v by %+v: %+v", known, test.by, got)
		}
	}
}

// freePorts are some that nobody has at the moment.
func freePorts(t *testing.T) Ports {
	t.Helper()
	var ports Ports
	for _, d := range doors {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		*d.port(&ports) = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

func TestRegionsPorts(t *testing.T) {
	dir := shortDir(t)
	open := func(id Identity) (Identity, error) {
		r := &Region{layout: layout(dir), identity: id, progress: newProgress()}
		err := r.listenLocal()
		for _, l := range r.listen.all() {
			l.Close()
		}
		if r.listen.dnsPackets != nil {
			r.listen.dnsPackets.Close()
		}
		return r.identity, err
	}
	first := Identity{Account: "000000000000", Region: "ap-northeast-2", Ports: freePorts(t)}
	got, err := open(first)
	if err != nil || got != first {
		t.Fatalf("a new region: %+v, %v", got, err)
	}
	if kept, err := LoadIdentity(dir); err != nil || kept != first {
		t.Errorf("kept: %+v, %v", kept, err)
	}

	// A first start that got no cluster is forgotten.
	first.Region = "us-east-1"
	if got, err = open(first); err != nil || got != first {
		t.Fatalf("a second first start: %+v, %v", got, err)
	}
	first.Cluster = "c"
	if err := first.save(layout(dir)); err != nil {
		t.Fatal(err)
	}
	if got, err = open(Identity{Account: "999999999999"}); err != nil || got != first {
		t.Errorf("it does not come back as it was: %+v, %v", got, err)
	}
	if _, err = open(Identity{Region: "eu-west-1"}); err == nil || !strings.Contains(err.Error(), "us-east-1") || !strings.Contains(err.Error(), "eu-west-1") {
		t.Errorf("as another region: %v", err)
	}
	moved := first
	moved.Ports.API = freePorts(t).API
	if got, err = open(Identity{Ports: Ports{API: moved.Ports.API}}); err != nil || got != moved {
		t.Errorf("with another port: %+v, %v", got, err)
	}

	// A region from before there was an AWS endpoint gets a port for it.
	before := moved
	before.Ports.Endpoint = 0
	if err := before.save(layout(dir)); err != nil {
		t.Fatal(err)
	}
	if got, err = open(Identity{Ports: Ports{Endpoint: moved.Ports.Endpoint}}); err != nil || got != moved {
		t.Errorf("from before there was an endpoint: %+v, %v", got, err)
	}

	// The web's ports may be somebody else's: the front door stands aside.
	web, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(moved.Ports.HTTPS)))
	if err != nil {
		t.Fatal(err)
	}
	got, err = open(Identity{})
	aside := moved
	aside.Ports.HTTPS = got.Ports.HTTPS
	if err != nil || got != aside || got.Ports.HTTPS == moved.Ports.HTTPS {
		t.Errorf("with the web's port taken: %+v, %v", got, err)
	}
	if _, err = open(Identity{Ports: Ports{HTTPS: moved.Ports.HTTPS}}); err == nil || !strings.Contains(err.Error(), "--https-port") {
		t.Errorf("with a chosen port of the web taken: %v", err)
	}
	web.Close()

	// kubeconfigs name the port: it does not change by itself.
	taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(moved.Ports.API)))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err = open(Identity{}); err == nil || !strings.Contains(err.Error(), "--api-port") {
		t.Errorf("with its port taken by another region: %v", err)
	}
	if err := os.WriteFile(layout(dir).identity(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = open(first); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged identity: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "tarn down") {
		t.Errorf("a second one: %v", err)
	}
	other, err := Lock(dir + "2")
	if err != nil {
		t.Errorf("another directory: %v", err)
	}
	other.Close()
	first.Close()
	again, err := Lock(dir)
	if err != nil {
		t.Errorf("after the first one's end: %v", err)
	}
	again.Close()
}

func TestLayout(t *testing.T) {
	l := layout("/var/lib/tarn")
	for _, path := range []string{l.lock(), l.controlSocket(), l.etcdSocket(), l.childLock("i-1"), l.namespace("i-1", "net"), l.controllers()} {
		if !strings.HasPrefix(path, l.run()+"/") {
			t.Errorf("%s stays after `tarn down`", path)
		}
	}
	for _, path := range []string{l.etcd(), l.registry(), l.identity(), l.credentials(), l.sessionKey(), l.trail(), l.kubeconfig(), l.cluster("c"), l.instance("i-1"), l.log("region")} {
		if !strings.HasPrefix(path, "/var/lib/tarn/") || strings.HasPrefix(path, l.run()) {
			t.Errorf("%s does not outlast `tarn down`", path)
		}
	}
	if a, b := l.cgroup(), layout("/var/lib/tarn2").cgroup(); a == b || !strings.HasPrefix(a, "tarn-") || strings.Contains(a, "/") {
		t.Errorf("cgroups %s and %s", a, b)
	}
}

func TestEndpoint(t *testing.T) {
	if got := (Identity{Ports: Ports{Endpoint: 4566}}).Endpoint(); got != "http://127.0.0.1:4566" {
		t.Error(got)
	}
}
