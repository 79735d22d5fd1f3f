package truststore

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/smallstep/truststore"
)

// prefix is what the files of the system's store, and entries of Java's, begin
// with; the certificate's serial number follows.
const prefix = "tarn-region-ca-"

// systemFile is the certificate in the system's store; empty when this system
// has none that is known.
func systemFile(ca *x509.Certificate) string {
	if truststore.SystemTrustCommand == nil {
		return ""
	}
	return fmt.Sprintf(truststore.SystemTrustFilename, prefix+ca.SerialNumber.String())
}

func (t *Trust) installSystem(ca *x509.Certificate) error {
	file := systemFile(ca)
	if file == "" {
		return errors.New("this system has no store of trusted certificates: install the package ca-certificates, then run `tarn trust install` again")
	}
	command := truststore.SystemTrustCommand[0]
	if _, err := exec.LookPath(command); err != nil {
		return fmt.Errorf("the system's store needs the program %s: install the package ca-certificates (p11-kit on Arch Linux), then run `tarn trust install` again", command)
	}
	_, before := os.Stat(file)
	// The command runs even when the file is there: it may have failed before.
	if err := truststore.Install(ca, truststore.WithPrefix(prefix)); err != nil {
		return fmt.Errorf("the system's store: %w", withOutput(err))
	}
	// A strict umask would have it trusted by root alone.
	if err := os.Chmod(file, 0o644); err != nil {
		return err
	}
	if before == nil {
		t.show("system: already in %s", file)
	} else {
		t.show("system: added %s", file)
	}
	return nil
}

func (t *Trust) uninstallSystem(ctx context.Context, ca *x509.Certificate) error {
	file := systemFile(ca)
	if file == "" {
		t.show("system: there is no store")
		return nil
	}
	have, err := readCA(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := exec.LookPath(truststore.SystemTrustCommand[0]); err != nil {
			t.show("system: was not in the store")
			return nil
		}
	case err != nil:
		return err
	case !bytes.Equal(have.Raw, ca.Raw):
		return fmt.Errorf("%s holds another certificate than the region's: it was left there", file)
	}
	links, err := t.debianLinks(file)
	if err == nil && len(links) > 0 {
		err = t.unlinkDebian(ctx, file, links)
	}
	if err != nil {
		return err
	}
	// The command runs even when the file is gone: it may have failed before.
	if err := truststore.Uninstall(ca, truststore.WithPrefix(prefix)); err != nil {
		return fmt.Errorf("the system's store: %w", withOutput(err))
	}
	if have == nil && len(links) == 0 {
		t.show("system: was not in the store")
	} else {
		t.show("system: removed %s", file)
	}
	return nil
}

// Debian's update-ca-certificates makes links to a certificate, and tells hooks
// of it, one of which has Java trust it. It does neither undo when the file is
// gone: only what a package has brought is ever taken back.
const (
	debianStore = "etc/ssl/certs"
	debianHooks = "etc/ca-certificates/update.d"
)

// debianName is what the link to a file is called.
func debianName(file string) string { return strings.TrimSuffix(filepath.Base(file), ".crt") + ".pem" }

// debianLinks are the links to a certificate, by its name and by its hash.
func (t *Trust) debianLinks(file string) ([]string, error) {
	dir := filepath.Join(t.root(), debianStore)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	byName := debianName(file)
	var links []string
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		path := filepath.Join(dir, e.Name())
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		if e.Name() == byName && target == file || target == byName {
			links = append(links, path)
		}
	}
	return links, nil
}

// unlinkDebian tells the hooks that a certificate goes, and removes its links.
func (t *Trust) unlinkDebian(ctx context.Context, file string, links []string) error {
	hooks, err := os.ReadDir(filepath.Join(t.root(), debianHooks))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, h := range hooks {
		info, err := h.Info()
		if err != nil || info.Mode()&0o111 == 0 {
			continue
		}
		cmd := exec.CommandContext(ctx, filepath.Join(t.root(), debianHooks, h.Name()))
		cmd.Stdin = strings.NewReader("-/" + filepath.Join(debianStore, debianName(file)) + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("the hook %s of the system's store: %w: %s", cmd.Path, err, bytes.TrimSpace(out))
		}
	}
	for _, path := range links {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func (t *Trust) root() string {
	if t.Root == "" {
		return "/"
	}
	return t.Root
}

// java is the Java that JAVA_HOME names, if any. Most systems keep Java's store
// by the system's.
func java() *truststore.JavaTrust {
	if os.Getenv("JAVA_HOME") == "" {
		return nil
	}
	j, err := truststore.NewJavaTrust()
	if err != nil {
		return nil // a directory without keytool
	}
	return j
}

func (t *Trust) installJava(ca *x509.Certificate) error {
	j := java()
	if j == nil {
		return nil
	}
	if j.Exists(ca) {
		t.show("java: already in the store of %s", os.Getenv("JAVA_HOME"))
		return nil
	}
	if err := truststore.Install(ca, truststore.WithPrefix(prefix), truststore.WithNoSystem(), truststore.WithTrust(j)); err != nil {
		return fmt.Errorf("the store of Java in %s: %w", os.Getenv("JAVA_HOME"), withOutput(err))
	}
	t.show("java: added to the store of %s", os.Getenv("JAVA_HOME"))
	return nil
}

func (t *Trust) uninstallJava(ca *x509.Certificate) error {
	j := java()
	if j == nil || !j.Exists(ca) {
		return nil
	}
	if err := truststore.Uninstall(ca, truststore.WithPrefix(prefix), truststore.WithNoSystem(), truststore.WithTrust(j)); err != nil {
		return fmt.Errorf("the store of Java in %s: %w", os.Getenv("JAVA_HOME"), withOutput(err))
	}
	t.show("java: removed from the store of %s", os.Getenv("JAVA_HOME"))
	return nil
}

// withOutput adds what a program has said to why it failed.
func withOutput(err error) error {
	var failed *truststore.CmdError
	if errors.As(err, &failed) {
		if out := bytes.TrimSpace(failed.Out()); len(out) > 0 {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return err
}
