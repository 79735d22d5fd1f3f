package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/hostdns"
)

// command runs a command of the user's machine.
func command(t *testing.T, cmd *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// hosting is the state directory of a region that runs, and says what it hosts.
func hosting(t *testing.T, status int, answer string) string {
	t.Helper()
	// A socket's path may have 107 bytes, and a test's directory has a long one.
	dir, err := os.MkdirTemp("", "tarn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "run", "tarn.sock"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dns", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return dir
}

// resolverOf is a machine without systemd-resolved.
func resolverOf(t *testing.T, dataDir string) (host *hostdns.Host, hostsFile string) {
	t.Helper()
	root := stateDir(t, map[string]string{"etc/hosts": "127.0.0.1 localhost\n", "etc/resolv.conf": "nameserver 192.0.2.1\n"})
	none := func(context.Context, string, ...string) ([]byte, error) { return nil, errors.New("no systemd here") }
	return hostdns.New(hostdns.Config{DataDir: dataDir, Root: root, Run: none}), filepath.Join(root, "etc", "hosts")
}

func TestHosted(t *testing.T) {
	dir := hosting(t, 200, `{"address":"127.0.0.1:5053","zones":["example.com"],"hosts":{"api.example.com":"127.64.1.2"}}`)
	got, err := hosted(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Address != netip.MustParseAddrPort("127.0.0.1:5053") || !slices.Equal(got.Zones, []string{"example.com"}) ||
		got.Hosts["api.example.com"] != netip.MustParseAddr("127.64.1.2") {
		t.Errorf("%+v", got)
	}
	_, err = hosted(t.Context(), hosting(t, 404, "404 page not found"))
	says(t, "an older region", err, "404", "tarn up")
	_, err = hosted(t.Context(), hosting(t, 200, `{"address":"here"}`))
	says(t, "no answer", err, "reading what the region hosts")
	_, err = hosted(t.Context(), t.TempDir())
	says(t, "a region that is down", err, "not running", "tarn up")
}

func TestInstallDNS(t *testing.T) {
	dir := hosting(t, 200, `{"address":"127.0.0.1:5053","zones":["example.com"],"hosts":{"api.example.com":"127.64.1.2","*.example.com":"127.64.1.2"}}`)
	host, file := resolverOf(t, dir)
	var out bytes.Buffer
	if err := installDNS(t.Context(), dir, host, &out); err != nil {
		t.Fatal(err)
	}
	want := `/etc/resolv.conf does not lead to systemd-resolved: /etc/hosts takes its place
/etc/hosts has the load balancers' names: api.example.com
left out, since there is no way to write them: *.example.com
` + file + " follows while the region runs; `tarn dns uninstall` undoes it\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if content, err := os.ReadFile(file); err != nil || !strings.Contains(string(content), "\n127.64.1.2\tapi.example.com\n") {
		t.Errorf("%s, %v", content, err)
	}
	out.Reset()
	if found, err := uninstallDNS(t.Context(), host, &out); err != nil || !found || !strings.Contains(out.String(), file) {
		t.Errorf("%q, %v", &out, err)
	}
	out.Reset()
	if found, err := uninstallDNS(t.Context(), host, &out); err != nil || found || out.Len() > 0 {
		t.Errorf("again: %q, %v", &out, err)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "127.0.0.1 localhost\n" {
		t.Errorf("%s, %v", content, err)
	}
}

func TestPrintDNS(t *testing.T) {
	for _, test := range []struct {
		result hostdns.Result
		want   string
	}{
		{
			hostdns.Result{Mechanism: hostdns.DropIn, File: "/etc/x.conf", Names: []string{"example.com", "example.org"}},
			"systemd-resolved asks the region for: example.com, example.org\n/etc/x.conf follows while the region runs; `tarn dns uninstall` undoes it\n",
		},
		{
			hostdns.Result{Mechanism: hostdns.Delegate, File: "/etc/x.dns-delegate"},
			"the region has none of its hosted zones yet\n/etc/x.dns-delegate follows while the region runs; `tarn dns uninstall` undoes it\n",
		},
		{
			hostdns.Result{Mechanism: hostdns.HostsFile, Why: "no resolved", File: "/etc/hosts"},
			"no resolved: /etc/hosts takes its place\nthe region has none of names that lead to load balancers yet\n/etc/hosts follows while the region runs; `tarn dns uninstall` undoes it\n",
		},
	} {
		var out bytes.Buffer
		printDNS(test.result, &out)
		if diff := cmp.Diff(test.want, out.String()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDNSCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	_, err := command(t, dnsCommand(&dir), "install")
	says(t, "dns install", err, "there is no region in "+dir, "tarn up")
	down := stateDir(t, identity(t, known))
	if os.Geteuid() != 0 {
		for _, verb := range []string{"install", "uninstall"} {
			_, err = command(t, dnsCommand(&down), verb)
			says(t, verb, err, "root: run it with sudo")
		}
		return
	}
	_, err = command(t, dnsCommand(&down), "install")
	says(t, "dns install", err, "not running", "tarn up")
	// There may be no region any more.
	out, err := command(t, dnsCommand(&dir), "uninstall")
	if err != nil || out != "nothing was installed for a region in "+dir+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}
