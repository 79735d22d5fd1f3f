package hostdns

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var state = State{
	Address: netip.MustParseAddrPort("127.0.0.1:5053"),
	Zones:   []string{"example.com.", "example.localhost."},
	Hosts: map[string]netip.Addr{
		"api.example.com": netip.MustParseAddr("127.64.1.2"),
		"*.example.com":   netip.MustParseAddr("127.64.1.2"),
	},
}

// machine is a system with a resolver.
type machine struct {
	root    string
	version string            // of systemd; empty without it
	says    map[string]string // what resolvectl prints, by its verb
	fails   string            // a command that fails

	mu    sync.Mutex // guards the field below
	calls []string
}

// newMachine has a resolv.conf that leads to resolved where it has a version.
func newMachine(t *testing.T, version string) *machine {
	t.Helper()
	m := &machine{root: t.TempDir(), version: version, says: map[string]string{
		"dns":    "Global:\nLink 2 (eth0): 192.0.2.1\n",
		"dnssec": "Global: no\nLink 2 (eth0): no\n",
	}}
	m.write(t, "etc/hosts", system)
	server := "192.0.2.1"
	if version != "" {
		server = "127.0.0.53"
	}
	m.write(t, "etc/resolv.conf", "# a comment\nnameserver "+server+"\noptions edns0\n")
	return m
}

func (m *machine) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	command := strings.Join(append([]string{name}, args...), " ")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, command)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case m.version == "":
		return nil, errors.New("there is no " + name)
	case m.fails != "" && strings.HasPrefix(command, m.fails):
		return nil, errors.New(command + ": out of luck")
	case command == "systemctl --version":
		return []byte("systemd " + m.version + " (" + m.version + ".22-1)\n+PAM +AUDIT\n"), nil
	case name == "resolvectl":
		return []byte(m.says[args[0]]), nil
	}
	return nil, nil
}

// reloads is how often resolved has read its files since the last call.
func (m *machine) reloads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.calls {
		if c == "systemctl try-reload-or-restart systemd-resolved.service" {
			n++
		}
	}
	m.calls = nil
	return n
}

// files are the system's files, by name.
func (m *machine) files(t *testing.T) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(m.root, path)
		if name != "etc/resolv.conf" {
			got[name] = string(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (m *machine) host(dataDir string) *Host {
	return New(Config{DataDir: dataDir, Root: m.root, Run: m.run})
}

func (m *machine) holds(t *testing.T, what string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, m.files(t)); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func TestInstall(t *testing.T) {
	const inHosts = "# BEGIN tarn DIR\n127.64.1.2\tapi.example.com\n# END tarn DIR\n"
	for _, test := range []struct {
		name, version string
		change        func(t *testing.T, m *machine)
		want          Mechanism
		why           string
		content       string
	}{
		{"no resolved", "", nil, HostsFile, "does not lead to", ""},
		{"a delegation", "258", nil, Delegate, "", "[Delegate]\nDNS=127.0.0.1:5053\nDomains=~example.com\n"},
		{"a drop-in", "252", nil, DropIn, "", "[Resolve]\nDNS=127.0.0.1:5053\nDomains=~example.com\n"},
		{"too old for a port", "245", nil, HostsFile, "246", ""},
		{"does not run", "252", func(_ *testing.T, m *machine) { m.fails = "systemctl is-active" }, HostsFile, "does not run", ""},
		{"a server of its own beside the stub", "252", func(t *testing.T, m *machine) {
			m.write(t, "etc/resolv.conf", "nameserver 127.0.0.53\nnameserver 1.1.1.1\n")
		}, HostsFile, "does not lead to", ""},
		{"a global server", "252", func(_ *testing.T, m *machine) { m.says["dns"] = "Global: 9.9.9.9\nLink 2 (eth0):\n" }, HostsFile, "9.9.9.9", ""},
		{"a global server, and delegations", "258", func(_ *testing.T, m *machine) { m.says["dns"] = "Global: 9.9.9.9\n" }, Delegate, "", "[Delegate]\nDNS=127.0.0.1:5053\nDomains=~example.com\n"},
		{"another region's server", "252", func(t *testing.T, m *machine) {
			m.says["dns"] = "Global: 127.0.0.1:5054\n"
			m.write(t, "etc/systemd/resolved.conf.d/tarn-00000000.conf", "[Resolve]\nDNS=127.0.0.1:5054\n")
		}, DropIn, "", "[Resolve]\nDNS=127.0.0.1:5053\nDomains=~example.com\n"},
		{"signed answers only", "258", func(_ *testing.T, m *machine) { m.says["dnssec"] = "Global: yes\n" }, HostsFile, "DNSSEC", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, dir := newMachine(t, test.version), t.TempDir()
			if test.change != nil {
				test.change(t, m)
			}
			before := m.files(t)
			h := m.host(dir)
			r, err := h.Install(t.Context(), state)
			if err != nil {
				t.Fatal(err)
			}
			if r.Mechanism != test.want || !strings.Contains(r.Why, test.why) || (r.Why == "") != (test.why == "") {
				t.Errorf("%+v", r)
			}
			want := before
			name, _ := filepath.Rel(m.root, r.File)
			reloads := 0
			if test.want == HostsFile {
				want["etc/hosts"] += strings.ReplaceAll(inHosts, "DIR", dir)
				if !slices.Equal(r.Names, []string{"api.example.com"}) || !slices.Equal(r.LeftOut, []string{"*.example.com"}) {
					t.Errorf("%+v", r)
				}
			} else {
				reloads = 1
				want[name] = "# Written by tarn for the region in " + dir + ". `tarn dns uninstall` removes it.\n" + test.content
				if !slices.Equal(r.Names, []string{"example.com"}) || r.LeftOut != nil {
					t.Errorf("%+v", r)
				}
			}
			m.holds(t, "installed", want)
			if n := m.reloads(); n != reloads {
				t.Errorf("resolved read its files %d times", n)
			}
			if !h.Installed() {
				t.Error("the marker is not there")
			}

			// Again, with what is now there.
			if again, err := h.Install(t.Context(), state); err != nil || again.Mechanism != r.Mechanism {
				t.Errorf("again: %+v, %v", again, err)
			}
			m.holds(t, "again", want)

			m.reloads()
			changed, err := h.Uninstall(t.Context())
			if err != nil || !slices.Equal(changed, []string{r.File}) {
				t.Errorf("uninstall: %q, %v", changed, err)
			}
			delete(want, name)
			if test.want == HostsFile {
				want["etc/hosts"] = system
			}
			m.holds(t, "uninstalled", want)
			if n := m.reloads(); n != reloads || h.Installed() {
				t.Errorf("resolved read its files %d times; installed: %t", n, h.Installed())
			}
		})
	}
}

func TestSync(t *testing.T) {
	for _, version := range []string{"", "252", "258"} {
		m, dir := newMachine(t, version), t.TempDir()
		h := m.host(dir)
		if err := h.Sync(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		m.holds(t, "not installed", map[string]string{"etc/hosts": system})

		r, err := h.Install(t.Context(), State{Address: state.Address})
		if err != nil || len(r.Names) > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		// A server without a zone of its own would be asked for every name.
		m.holds(t, "without zones", map[string]string{"etc/hosts": system})
		m.reloads()

		region := m.host(dir) // another process
		if err := region.Sync(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		if content := m.files(t); !strings.Contains(content["etc/hosts"]+fileAt(t, r.File), "example.com") {
			t.Errorf("a new zone: %q", content)
		}
		info, err := os.Stat(r.File)
		if err != nil {
			t.Fatal(err)
		}
		if n := m.reloads(); version != "" && n != 1 {
			t.Errorf("resolved read its files %d times", n)
		}
		old := time.Unix(1e9, 0)
		if err := os.Chtimes(r.File, old, old); err != nil {
			t.Fatal(err)
		}
		if err := region.Sync(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		if now, err := os.Stat(r.File); err != nil || !os.SameFile(info, now) || !now.ModTime().Equal(old) || m.reloads() != 0 {
			t.Errorf("nothing changed, and it was written: %v", err)
		}

		// The last zone is gone.
		if err := region.Sync(t.Context(), State{Address: state.Address}); err != nil {
			t.Fatal(err)
		}
		m.holds(t, "without zones again", map[string]string{"etc/hosts": system})
		if err := region.Sync(t.Context(), State{}); err == nil {
			t.Error("no address")
		}

		if _, err := h.Uninstall(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := region.Sync(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		m.holds(t, "uninstalled", map[string]string{"etc/hosts": system})
	}
}

func fileAt(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What resolved did not read is read at the next occasion.
func TestResolvedThatFails(t *testing.T) {
	m, dir := newMachine(t, "252"), t.TempDir()
	h := m.host(dir)
	m.fails = "systemctl try-reload-or-restart"
	if _, err := h.Install(t.Context(), state); err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Fatal(err)
	}
	m.fails = ""
	m.reloads()
	if _, err := m.host(dir).Install(t.Context(), state); err != nil || m.reloads() != 1 {
		t.Errorf("install again, by another process: %v", err)
	}
	m.fails = "systemctl try-reload-or-restart"
	more := state
	more.Zones = append(slices.Clone(state.Zones), "example.org")
	if err := h.Sync(t.Context(), more); err == nil {
		t.Fatal("no error")
	}
	m.fails = ""
	m.reloads()
	if err := h.Sync(t.Context(), more); err != nil || m.reloads() != 1 {
		t.Errorf("sync again: %v", err)
	}
	m.fails = "systemctl try-reload-or-restart"
	if _, err := h.Uninstall(t.Context()); err == nil || !h.Installed() {
		t.Fatalf("%v; installed: %t", err, h.Installed())
	}
	m.fails = ""
	m.reloads()
	if _, err := m.host(dir).Uninstall(t.Context()); err != nil || m.reloads() != 1 || h.Installed() {
		t.Errorf("uninstall again, by another process: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	if _, err := h.Install(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := h.Uninstall(cancelled); !errors.Is(err, context.Canceled) || !h.Installed() {
		t.Errorf("%v; installed: %t", err, h.Installed())
	}
}

func TestUninstallWithoutAStateDirectory(t *testing.T) {
	m, dir := newMachine(t, "252"), filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := m.host(dir).Install(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	m.reloads()
	if changed, err := m.host(dir).Uninstall(t.Context()); err != nil || len(changed) != 1 || m.reloads() != 1 {
		t.Errorf("%q, %v", changed, err)
	}
	m.holds(t, "uninstalled", map[string]string{"etc/hosts": system})
	if changed, err := m.host(dir).Uninstall(t.Context()); err != nil || len(changed) != 0 || m.reloads() != 0 {
		t.Errorf("again: %q, %v", changed, err)
	}
	if _, err := m.host(dir).Install(t.Context(), state); err == nil {
		t.Error("there is nowhere to keep the marker")
	}
}

// Two regions change one file, each its block.
func TestRegionsSideBySide(t *testing.T) {
	m := newMachine(t, "")
	var all sync.WaitGroup
	var hosts []*Host
	for range 4 {
		h := m.host(t.TempDir())
		hosts = append(hosts, h)
		all.Go(func() {
			if _, err := h.Install(t.Context(), state); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	content := fileAt(t, hosts[0].hostsFile())
	for _, h := range hosts {
		if strings.Count(content, "# BEGIN tarn "+h.dataDir+"\n") != 1 {
			t.Errorf("%s: %s", h.dataDir, content)
		}
	}
	for _, h := range hosts {
		all.Go(func() {
			if _, err := h.Uninstall(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	m.holds(t, "uninstalled", map[string]string{"etc/hosts": system})
}

func TestGlobal(t *testing.T) {
	for _, test := range []struct {
		out  string
		want []string
	}{
		{"", nil},
		{"Global:\nLink 2 (eth0): 192.0.2.1\n", nil},
		{"Global: 1.1.1.1 2606:4700::1111\nLink 2 (eth0): 192.0.2.1\n", []string{"1.1.1.1", "2606:4700::1111"}},
		{"           Global: 1.1.1.1\n                   9.9.9.9#dns.quad9.net\n    Link 2 (eth0): 192.0.2.1\n                   192.0.2.2\n", []string{"1.1.1.1", "9.9.9.9#dns.quad9.net"}},
		{"Global: no\nLink 3 (Global): yes\nDelegate x: yes\n", []string{"no"}},
	} {
		if got := global([]byte(test.out)); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.out, got, test.want)
		}
	}
}

func TestAsksStub(t *testing.T) {
	for conf, want := range map[string]bool{
		"":                        false,
		"search example.com":      false,
		"nameserver 127.0.0.53\n": true,
		"# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver 127.0.0.54\noptions edns0 trust-ad": true,
		"nameserver 127.0.0.1":                        false,
		"nameserver 127.0.0.53\nnameserver 192.0.2.1": false,
		"nameserver": false,
	} {
		if got := asksStub([]byte(conf)); got != want {
			t.Errorf("%q: %t", conf, got)
		}
	}
}

func TestSystemdVersion(t *testing.T) {
	for out, want := range map[string]int{
		"systemd 252 (252.22-1~deb12u1)\n+PAM": 252,
		"systemd 258.1\n":                      258,
		"systemd 260~rc1 (260~rc1)":            260,
		"openrc 1":                             0,
		"":                                     0,
		"systemd 99999999999":                  0,
	} {
		if got := systemdVersion([]byte(out)); got != want {
			t.Errorf("%q: %d, want %d", out, got, want)
		}
	}
}

// FuzzResolved: what other programs print makes no value that is more than a word.
func FuzzResolved(f *testing.F) {
	f.Add([]byte("Global: 1.1.1.1\n        9.9.9.9#dns.quad9.net\nLink 2 (eth0): 192.0.2.1\n"))
	f.Add([]byte("systemd 252 (252.22-1)\nnameserver 127.0.0.53\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, v := range global(out) {
			if len(strings.Fields(v)) != 1 || !strings.Contains(string(out), "Global:") {
				t.Errorf("%q", v)
			}
		}
		if asksStub(out) && !strings.Contains(string(out), "127.0.0.5") {
			t.Error("no stub")
		}
		if v := systemdVersion(out); v < 0 || v > 999_999 {
			t.Error(v)
		}
	})
}
