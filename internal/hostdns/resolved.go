package hostdns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// portVersion is the first systemd that takes a port after a server's address.
	portVersion = 246
	// delegateVersion is the first that has delegations.
	delegateVersion = 258

	unit = "systemd-resolved.service"
)

// delegateFile is a delegation: only names of its domains go to its server.
// https://www.freedesktop.org/software/systemd/man/latest/systemd.dns-delegate.html
func (h *Host) delegateFile() string {
	return filepath.Join(h.root, "etc", "systemd", "dns-delegate.d", h.name()+".dns-delegate")
}

// dropInFile adds a server to the global ones. Its routing-only domains take
// names away from the links' servers.
// https://www.freedesktop.org/software/systemd/man/latest/resolved.conf.html
func (h *Host) dropInFile() string {
	return filepath.Join(h.root, "etc", "systemd", "resolved.conf.d", h.name()+".conf")
}

func resolvedConf(section, title string, server netip.AddrPort, zones []string) []byte {
	return fmt.Appendf(nil, "# Written by tarn for the region in %s. `tarn dns uninstall` removes it.\n[%s]\nDNS=%s\nDomains=~%s\n",
		title, section, server, strings.Join(zones, " ~"))
}

// choose is the best mechanism of this machine, and why it is not resolved.
func (h *Host) choose(ctx context.Context, server netip.AddrPort) (m Mechanism, why string, err error) {
	conf, err := os.ReadFile(filepath.Join(h.root, "etc", "resolv.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	if !asksStub(conf) {
		return HostsFile, "/etc/resolv.conf does not lead to systemd-resolved", nil
	}
	if _, err := h.run(ctx, "systemctl", "is-active", "--quiet", unit); err != nil {
		return HostsFile, "systemd-resolved does not run", nil
	}
	out, err := h.run(ctx, "systemctl", "--version")
	if err != nil {
		return "", "", err
	}
	version := systemdVersion(out)
	if version < portVersion && server.Port() != 53 {
		return HostsFile, fmt.Sprintf("systemd-resolved asks servers on port 53 only before version %d", portVersion), nil
	}
	// Records here are not signed, while the world's zone of that name may be.
	if out, err = h.run(ctx, "resolvectl", "dnssec"); err != nil {
		return "", "", err
	}
	if slices.Contains(global(out), "yes") {
		return HostsFile, "systemd-resolved accepts signed answers only (DNSSEC=yes)", nil
	}
	if version >= delegateVersion {
		return Delegate, "", nil
	}
	// All global servers are one set, of which resolved asks one that answers.
	if out, err = h.run(ctx, "resolvectl", "dns"); err != nil {
		return "", "", err
	}
	ours, err := h.ourServers()
	if err != nil {
		return "", "", err
	}
	for _, s := range global(out) {
		if !slices.Contains(ours, s) {
			return HostsFile, "systemd-resolved has a global DNS server, " + s + ", which would be asked instead of the region", nil
		}
	}
	return DropIn, "", nil
}

// ourServers are the global servers that regions have added.
func (h *Host) ourServers() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(h.dropInFile()), "tarn-*.conf"))
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for line := range bytes.Lines(data) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "DNS="); ok {
				servers = append(servers, strings.Fields(value)...)
			}
		}
	}
	return servers, nil
}

// reloadResolved has a resolved that runs read its files. Before version 256 it
// can only start anew, which systemd refuses when it happens often: the counter
// of that is reset first.
func (h *Host) reloadResolved(ctx context.Context) error {
	if _, err := h.run(ctx, "systemctl", "is-active", "--quiet", unit); err != nil {
		return ctx.Err() // it reads them when it starts; there may be no systemd at all
	}
	if _, err := h.run(ctx, "systemctl", "reset-failed", unit); err != nil && !isExit(err) {
		return err
	}
	if _, err := h.run(ctx, "systemctl", "try-reload-or-restart", unit); err != nil {
		return fmt.Errorf("having systemd-resolved read its files: %w", err)
	}
	return nil
}

func isExit(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit)
}

// asksStub says whether a resolv.conf sends programs to resolved, and nowhere else.
func asksStub(conf []byte) bool {
	found := false
	for line := range bytes.Lines(conf) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if fields[1] != "127.0.0.53" && fields[1] != "127.0.0.54" {
			return false
		}
		found = true
	}
	return found
}

var versionLine = regexp.MustCompile(`(?m)^systemd ([0-9]{1,6})\b`)

// systemdVersion reads `systemctl --version`; 0 when it says something else.
func systemdVersion(out []byte) int {
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// global are the values of the first entry of what `resolvectl dns` and its
// like print, a line for each link, the later ones indented when they wrap.
func global(out []byte) []string {
	var values []string
	in := false
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) == 0:
		case fields[0] == "Global:":
			in = true
			values = append(values, fields[1:]...)
		case fields[0] == "Link" || fields[0] == "Delegate":
			in = false
		case in:
			values = append(values, fields...)
		}
	}
	return values
}
