package truststore

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Browsers keep certificates in NSS databases: Chromium and its relatives in one
// for all, Firefox in one per profile. Packages of other kinds have homes of
// their own.
// https://chromium.googlesource.com/chromium/src/+/main/docs/linux/cert_management.md
var (
	sharedDatabases = []string{
		".pki/nssdb",
		".local/share/pki/nssdb",
		"snap/*/current/.pki/nssdb",
		".var/app/*/.pki/nssdb",
		".var/app/*/data/pki/nssdb",
	}
	profiles = []string{
		".mozilla/firefox/*",
		".config/mozilla/firefox/*",
		"snap/firefox/common/.mozilla/firefox/*",
		"snap/firefox/common/.config/mozilla/firefox/*",
		".var/app/org.mozilla.firefox/.mozilla/firefox/*",
		".var/app/org.mozilla.firefox/config/mozilla/firefox/*",
	}
)

// newDatabase is where Chromium looks first.
const newDatabase = ".pki/nssdb"

// databases are the directories of the databases in a home.
func databases(home string) []string {
	var found []string
	for _, pattern := range append(sharedDatabases, profiles...) {
		// Only a malformed pattern is an error, and the home is none.
		names, _ := filepath.Glob(filepath.Join(quoteGlob(home), pattern, "cert9.db"))
		for _, name := range names {
			found = append(found, filepath.Dir(name))
		}
	}
	return found
}

var globMeta = regexp.MustCompile(`[\\*?[]`)

func quoteGlob(path string) string { return globMeta.ReplaceAllString(path, `\$0`) }

// missingDatabase is the one to make for Chromium; empty when there is one. It is
// never made beside one that Chromium uses.
func missingDatabase(home string) string {
	for _, name := range []string{newDatabase, ".local/share/pki/nssdb"} {
		if _, err := os.Stat(filepath.Join(home, name, "cert9.db")); err == nil {
			return ""
		}
	}
	return filepath.Join(home, newDatabase)
}

// certutil finds the program that changes databases. Its error says which
// package has it.
func certutil() (string, error) {
	path, err := exec.LookPath("certutil")
	if err == nil {
		return path, nil
	}
	return "", fmt.Errorf("the browsers' databases need the program certutil: %s, then run the command again", certutilPackage(func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	}))
}

func certutilPackage(has func(program string) bool) string {
	for _, p := range []struct{ manager, install string }{
		{"apt-get", "apt-get install libnss3-tools"},
		{"dnf", "dnf install nss-tools"},
		{"yum", "yum install nss-tools"},
		{"zypper", "zypper install mozilla-nss-tools"},
		{"pacman", "pacman -S nss"},
		{"apk", "apk add nss-tools"},
	} {
		if has(p.manager) {
			return "`" + p.install + "`"
		}
	}
	return "install the package libnss3-tools (nss-tools or mozilla-nss-tools on some systems)"
}

func (t *Trust) installBrowsers(ctx context.Context, ca *x509.Certificate) error {
	program, err := certutil()
	if err != nil {
		return err
	}
	var failed []error
	if dir := missingDatabase(t.User.Home); dir != "" {
		if err := makeDatabase(ctx, program, t.User, dir); err != nil {
			failed = append(failed, fmt.Errorf("making Chromium's database: %w", err))
		}
	}
	for _, dir := range databases(t.User.Home) {
		d := database{program, t.User, dir}
		there, err := d.trusts(ctx, ca)
		if err == nil && !there {
			err = d.add(ctx, ca)
		}
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("%s (or import %s in the browser's settings): %w", dir, t.CAFile, err))
		case there:
			t.show("browser: already in %s", dir)
		default:
			t.show("browser: added to %s", dir)
		}
	}
	return errors.Join(failed...)
}

// uninstallBrowsers removes it from a user's databases. wanted says that it was
// installed for the user.
func (t *Trust) uninstallBrowsers(ctx context.Context, ca *x509.Certificate, u User, wanted bool) error {
	dirs := databases(u.Home)
	if len(dirs) == 0 {
		t.show("browsers: there are none in %s", u.Home)
		return nil
	}
	program, err := certutil()
	if err != nil {
		if wanted {
			return err
		}
		t.show("browsers: nothing was installed in %s", u.Home)
		return nil
	}
	var failed []error
	for _, dir := range dirs {
		removed, err := database{program, u, dir}.remove(ctx, ca)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", dir, err))
		case removed:
			t.show("browser: removed from %s", dir)
		default:
			t.show("browser: was not in %s", dir)
		}
	}
	return errors.Join(failed...)
}

// database is an NSS database.
type database struct {
	program string // certutil
	user    User
	dir     string
}

func makeDatabase(ctx context.Context, program string, u User, dir string) error {
	if _, err := u.run(ctx, nil, "mkdir", "-p", "-m", "700", "--", dir); err != nil {
		return err
	}
	_, err := u.run(ctx, nil, program, "-N", "-d", "sql:"+dir, "--empty-password")
	return err
}

func (d database) certutil(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	return d.user.run(ctx, stdin, d.program, append([]string{"-d", "sql:" + d.dir}, args...)...)
}

// held is an entry of a database.
type held struct{ nickname, trust string }

// authority says whether the entry is trusted to sign servers' certificates.
func (h held) authority() bool {
	ssl, _, _ := strings.Cut(h.trust, ",")
	return strings.Contains(ssl, "C")
}

// find returns the entries that are the certificate. Certificates of one subject
// are told apart by their nicknames only: certutil shows them all for any.
func (d database) find(ctx context.Context, ca *x509.Certificate) ([]held, error) {
	out, err := d.certutil(ctx, nil, "-L")
	if err != nil {
		return nil, err
	}
	var found []held
	for _, h := range parseList(out) {
		der, err := d.certutil(ctx, nil, "-L", "-n", h.nickname, "-r")
		if err != nil {
			return nil, err
		}
		if bytes.Equal(der, ca.Raw) || h.nickname == nickname(ca) && bytes.Contains(der, ca.Raw) {
			found = append(found, h)
		}
	}
	return found, nil
}

func (d database) trusts(ctx context.Context, ca *x509.Certificate) (bool, error) {
	found, err := d.find(ctx, ca)
	for _, h := range found {
		if h.authority() {
			return true, nil
		}
	}
	return false, err
}

func (d database) add(ctx context.Context, ca *x509.Certificate) error {
	before, err := d.find(ctx, ca)
	if err != nil {
		return err
	}
	// C: may sign the certificates of servers, and nothing else.
	if _, err := d.certutil(ctx, ca.Raw, "-A", "-t", "C,,", "-n", nickname(ca)); err != nil {
		// A database with a password takes the certificate, but not the trust.
		if len(before) == 0 {
			_, undo := d.remove(ctx, ca)
			err = errors.Join(err, undo)
		}
		return err
	}
	there, err := d.trusts(ctx, ca)
	if err == nil && !there {
		err = errors.New("certutil has not added the certificate")
	}
	return err
}

func (d database) remove(ctx context.Context, ca *x509.Certificate) (removed bool, err error) {
	found, err := d.find(ctx, ca)
	if err != nil {
		return false, err
	}
	for _, h := range found {
		if _, err := d.certutil(ctx, nil, "-D", "-n", h.nickname); err != nil {
			return removed, err
		}
		removed = true
	}
	return removed, nil
}

var listLine = regexp.MustCompile(`^(.*\S)\s+([pPcCTuwgG]*,[pPcCTuwgG]*,[pPcCTuwgG]*)\s*$`)

// parseList reads what `certutil -L` prints: nicknames, and how they are trusted
// for servers, mail and code.
func parseList(out []byte) []held {
	var list []held
	for line := range strings.Lines(string(out)) {
		if m := listLine.FindStringSubmatch(line); m != nil {
			list = append(list, held{nickname: m[1], trust: m[2]})
		}
	}
	return list
}
