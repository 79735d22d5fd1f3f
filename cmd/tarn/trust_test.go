package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/pki"
	"github.com/tarn-eks/tarn/internal/region"
	"github.com/tarn-eks/tarn/internal/truststore"
)

// authority is a state directory with the region's certificate authority.
func authority(t *testing.T) string {
	t.Helper()
	ca, err := pki.NewCA("Tarn region CA")
	if err != nil {
		t.Fatal(err)
	}
	dir := stateDir(t, identity(t, known))
	file := region.CAFile(dir)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, ca.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTrustCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	_, err := command(t, trustCommand(&dir), "install")
	says(t, "trust install", err, "there is no region in "+dir, "tarn up")
	_, err = command(t, trustCommand(&dir), "install", "--store", "system,java")
	says(t, "--store", err, "--store system,java", `"java" is no store`, "browsers")
	early := stateDir(t, identity(t, known))
	if os.Geteuid() != 0 {
		for _, verb := range []string{"install", "uninstall"} {
			_, err = command(t, trustCommand(&early), verb)
			says(t, verb, err, "root: run it with sudo")
		}
		return
	}
	_, err = command(t, trustCommand(&early), "install")
	says(t, "trust install", err, "no certificate authority yet", "tarn up")
	out, err := command(t, trustCommand(&dir), "uninstall")
	if err != nil || out != "nothing was installed for a region in "+dir+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// What was installed for a region goes with it, whoever deletes it.
func TestUninstallFrom(t *testing.T) {
	if _, err := exec.LookPath("certutil"); err != nil {
		t.Skip("certutil is not installed (package libnss3-tools): the browsers' databases are not tested")
	}
	dir, home := authority(t), t.TempDir()
	user := truststore.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Home: home}
	host, file := resolverOf(t, dir)
	var out bytes.Buffer

	// Nothing was installed: nothing is said, and no store is looked at.
	if err := uninstallFrom(t.Context(), host, newTrust(dir, truststore.User{}, &out), &out); err != nil || out.Len() > 0 {
		t.Errorf("%q, %v", &out, err)
	}

	if err := installTrust(t.Context(), newTrust(dir, user, &out), []truststore.Store{truststore.Browsers}); err != nil {
		t.Fatal(err)
	}
	running := hosting(t, 200, `{"address":"127.0.0.1:5053","hosts":{"api.example.com":"127.64.1.2"}}`)
	if err := installDNS(t.Context(), running, host, &out); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	// The system's store is not touched: nothing was put there.
	trust := newTrust(dir, truststore.User{}, &out)
	if err := uninstallFrom(t.Context(), host, trust, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{file, "removed from " + filepath.Join(home, ".pki/nssdb")} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q does not say %s", &out, want)
		}
	}
	if stores, err := trust.Recorded(); err != nil || len(stores) > 0 || host.Installed() {
		t.Errorf("left: %q, %t, %v", stores, host.Installed(), err)
	}
}
