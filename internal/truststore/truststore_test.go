package truststore

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/smallstep/truststore"

	"github.com/tarn-eks/tarn/internal/pki"
)

// newCA is an authority, and the file with its certificate.
func newCA(t *testing.T) (*x509.Certificate, string) {
	t.Helper()
	ca, err := pki.NewCA("Tarn region CA")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "region-ca.crt")
	if err := os.WriteFile(file, ca.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return ca.Cert, file
}

// newTrust is for a user of the test, with a home and no system.
func newTrust(t *testing.T, caFile string) (*Trust, *[]string) {
	t.Helper()
	t.Setenv("JAVA_HOME", "")
	var lines []string
	return New(Config{
		CAFile: caFile,
		Record: filepath.Join(t.TempDir(), "trust.json"),
		Root:   t.TempDir(),
		User:   User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Home: t.TempDir()},
		Show:   func(line string) { lines = append(lines, line) },
	}), &lines
}

// fakeSystem puts the system's store into a directory. Its command writes down
// that it ran, and fails while there is a file named fail.
func fakeSystem(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncd " + dir + "\necho ran >> calls\nif [ -e fail ]; then echo out of luck; exit 1; fi\n"
	if err := os.WriteFile(filepath.Join(bin, "update-store"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	// No sudo there: the library would run it.
	for _, name := range []string{"tee", "rm"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	file, command := truststore.SystemTrustFilename, truststore.SystemTrustCommand
	t.Cleanup(func() { truststore.SystemTrustFilename, truststore.SystemTrustCommand = file, command })
	truststore.SystemTrustFilename, truststore.SystemTrustCommand = filepath.Join(dir, "%s.crt"), []string{"update-store"}
	return dir
}

func says(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
}

func recorded(t *testing.T, trust *Trust, want ...Store) {
	t.Helper()
	if got, err := trust.Recorded(); err != nil || !slices.Equal(got, want) {
		t.Errorf("recorded: %q, %v, want %q", got, err, want)
	}
	if _, err := os.Stat(trust.Record); (err == nil) != (len(want) > 0) {
		t.Errorf("the record: %v", err)
	}
}

func TestParseStores(t *testing.T) {
	for list, want := range map[string][]Store{
		"system,browsers":   {System, Browsers},
		"browsers":          {Browsers},
		" system , system ": {System},
		"":                  nil,
		"java":              nil,
		"system,":           nil,
	} {
		got, err := ParseStores(list)
		if want == nil {
			says(t, list, err, "system and browsers")
		} else if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
}

func TestSystem(t *testing.T) {
	dir := fakeSystem(t)
	ca, file := newCA(t)
	trust, lines := newTrust(t, file)
	stored := systemFile(ca)
	for _, step := range []struct {
		what string
		do   func() error
		says string
	}{
		{"uninstalling what is not there", func() error { return trust.Uninstall(t.Context(), All[:1]) }, "was not in"},
		{"install", func() error { return trust.Install(t.Context(), All[:1]) }, "added " + stored},
		{"again", func() error { return trust.Install(t.Context(), All[:1]) }, "already in " + stored},
	} {
		*lines = nil
		if err := step.do(); err != nil || len(*lines) != 1 || !strings.Contains((*lines)[0], step.says) {
			t.Fatalf("%s: %q, %v", step.what, *lines, err)
		}
	}
	have, err := readCA(stored)
	if err != nil || !have.Equal(ca) {
		t.Errorf("stored: %v", err)
	}
	if info, err := os.Stat(stored); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	recorded(t, trust, System)

	// What failed half way is done again.
	if err := os.WriteFile(filepath.Join(dir, "fail"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, "install", trust.Install(t.Context(), All[:1]), "out of luck")
	says(t, "uninstall", trust.Uninstall(t.Context(), All[:1]), "out of luck")
	recorded(t, trust, System) // since the command failed
	if err := os.Remove(filepath.Join(dir, "fail")); err != nil {
		t.Fatal(err)
	}
	if err := trust.Uninstall(t.Context(), All[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stored); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	recorded(t, trust)
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if n := bytes.Count(calls, []byte("ran")); err != nil || n != 6 {
		t.Errorf("the store was updated %d times, want at each step: %v", n, err)
	}
}

// Debian's command leaves its links, and Java's trust, where they are.
func TestDebianLinks(t *testing.T) {
	fakeSystem(t)
	ca, file := newCA(t)
	trust, lines := newTrust(t, file)
	stored := systemFile(ca)
	byName := strings.TrimSuffix(filepath.Base(stored), ".crt") + ".pem"
	certs := filepath.Join(trust.Root, debianStore)
	touch(t, trust.Root, debianStore+"/ca-certificates.crt", debianStore+"/plain.pem", debianHooks+"/README", debianHooks+"/java")
	for link, target := range map[string]string{
		byName: stored, "d2fc6587.0": byName,
		"other.pem": "/usr/share/ca-certificates/other.crt", "01234567.0": "other.pem", "elsewhere.pem": "/elsewhere/" + byName,
	} {
		if err := os.Symlink(target, filepath.Join(certs, link)); err != nil {
			t.Fatal(err)
		}
	}
	java := filepath.Join(trust.Root, debianHooks, "java")
	hook := func(script string) {
		t.Helper()
		if err := os.WriteFile(java, []byte("#!/bin/sh\n"+script+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(java, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hook("echo no java; exit 3")
	says(t, "a hook that fails", trust.Uninstall(t.Context(), All[:1]), java, "no java")
	hook("while read line; do echo \"$line\" >> " + trust.Root + "/told; done")
	*lines = nil
	if err := trust.Uninstall(t.Context(), All[:1]); err != nil || len(*lines) != 1 || !strings.Contains((*lines)[0], "removed") {
		t.Fatalf("%q, %v", *lines, err)
	}
	told, err := os.ReadFile(trust.Root + "/told")
	if want := "-/etc/ssl/certs/" + byName + "\n"; err != nil || string(told) != want {
		t.Errorf("the hook was told %q, %v, want %q", told, err, want)
	}
	var left []string
	entries, err := os.ReadDir(certs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"01234567.0", "ca-certificates.crt", "elsewhere.pem", "other.pem", "plain.pem"}; !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}
}

func TestSystemLeavesWhatIsAnothers(t *testing.T) {
	fakeSystem(t)
	ca, file := newCA(t)
	other, _ := newCA(t)
	trust, _ := newTrust(t, file)
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Raw})
	if err := os.WriteFile(systemFile(ca), content, 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, "uninstall", trust.Uninstall(t.Context(), All[:1]), systemFile(ca), "left there")
	if have, err := os.ReadFile(systemFile(ca)); err != nil || !bytes.Equal(have, content) {
		t.Errorf("%s, %v", have, err)
	}
}

func TestSystemWithoutAStore(t *testing.T) {
	fakeSystem(t)
	_, file := newCA(t)
	trust, lines := newTrust(t, file)
	truststore.SystemTrustCommand = []string{"update-ca-something"}
	says(t, "without the command", trust.Install(t.Context(), All[:1]), "update-ca-something", "ca-certificates")
	truststore.SystemTrustCommand = nil
	says(t, "without a store", trust.Install(t.Context(), All[:1]), "ca-certificates")
	if err := trust.Uninstall(t.Context(), All[:1]); err != nil || len(*lines) != 1 {
		t.Errorf("uninstall: %q, %v", *lines, err)
	}
}

// A region that was made anew has another authority, and nobody has the old key.
func TestFormerAuthorityIsRemoved(t *testing.T) {
	fakeSystem(t)
	old, file := newCA(t)
	trust, _ := newTrust(t, file)
	if err := trust.Install(t.Context(), All[:1]); err != nil {
		t.Fatal(err)
	}
	ca, now := newCA(t)
	trust.CAFile = now
	if err := trust.Install(t.Context(), All[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(systemFile(old)); err == nil {
		t.Error("the former authority is still trusted")
	}
	if _, err := os.Stat(systemFile(ca)); err != nil {
		t.Error(err)
	}
	// Uninstall knows it even when the state directory has lost it.
	trust.CAFile = now + ".gone"
	if err := trust.Uninstall(t.Context(), All[:1]); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(systemFile(ca)); err == nil {
		t.Error("it is still trusted")
	}
}

func TestReadCA(t *testing.T) {
	authority, err := pki.NewCA("Tarn region CA")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.Issue(pki.Request{CommonName: "example.com", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Lifetime: 1e12})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content []byte
		says    string
	}{
		"text":              {[]byte("hello"), "no certificate"},
		"a key":             {leaf.Key, "no certificate"},
		"damaged":           {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "reading"},
		"another's":         {leaf.Cert, "no certificate authority"},
		"the authority's":   {authority.PEM(), ""},
		"with more than it": {append(authority.PEM(), leaf.Cert...), ""},
	} {
		file := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(file, test.content, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := readCA(file)
		if test.says != "" {
			says(t, name, err, file, test.says)
		} else if err != nil || !got.Equal(authority.Cert) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readCA("/none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// fakeKeytool keeps one certificate, and knows its fingerprint from the test:
// the real one takes seconds for each call.
const fakeKeytool = `#!/bin/sh
store=$JAVA_HOME/lib/security/cacerts
case "$1" in
-list) cat "$store" ;;
-importcert) echo "tarn, $FINGERPRINT" >> "$store" ;;
-delete) : > "$store" ;;
*) exit 2 ;;
esac
echo "$@" >> "$JAVA_HOME/calls"
`

func TestJava(t *testing.T) {
	home := t.TempDir()
	touch(t, home, "bin/keytool", "lib/security/cacerts")
	if err := os.WriteFile(filepath.Join(home, "bin/keytool"), []byte(fakeKeytool), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(home, "bin/keytool"), 0o755); err != nil {
		t.Fatal(err)
	}
	ca, file := newCA(t)
	trust, lines := newTrust(t, file)
	t.Setenv("JAVA_HOME", home)
	t.Setenv("FINGERPRINT", fmt.Sprintf("%X", sha256.Sum256(ca.Raw)))
	for _, step := range []struct {
		do     func(*x509.Certificate) error
		says   string
		exists bool
	}{
		{trust.uninstallJava, "", false},
		{trust.installJava, "java: added", true},
		{trust.installJava, "java: already", true},
		{trust.uninstallJava, "java: removed", false},
		{trust.uninstallJava, "", false},
	} {
		*lines = nil
		err := step.do(ca)
		if got := strings.Join(*lines, "\n"); err != nil || !strings.HasPrefix(got, step.says) || (got == "") != (step.says == "") {
			t.Errorf("%q, %v, want %s", got, err, step.says)
		}
		if java().Exists(ca) != step.exists {
			t.Errorf("%s: it is there: %t", step.says, !step.exists)
		}
	}
	calls, err := os.ReadFile(filepath.Join(home, "calls"))
	if alias := "-alias " + prefix + ca.SerialNumber.String(); err != nil || strings.Count(string(calls), alias) != 2 {
		t.Errorf("%s, %v, want %s at import and delete", calls, err, alias)
	}
}

func TestRecordKeepsEveryUser(t *testing.T) {
	fakeSystem(t)
	_, file := newCA(t)
	trust, _ := newTrust(t, file)
	// Without certutil the browsers fail, and the system is served.
	says(t, "install", trust.Install(t.Context(), All), "certutil")
	first := trust.User
	trust.User.Home = t.TempDir()
	says(t, "install", trust.Install(t.Context(), All[1:]), "certutil")
	r, err := trust.read()
	if err != nil || !r.System {
		t.Fatalf("%+v, %v", r, err)
	}
	if diff := cmp.Diff([]User{first, trust.User}, r.Users); diff != "" {
		t.Error(diff)
	}
	recorded(t, trust, System, Browsers)
	if err := os.WriteFile(trust.Record, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, "a damaged record", trust.Uninstall(t.Context(), All), trust.Record)
	_, err = trust.Recorded()
	says(t, "a damaged record", err, trust.Record)
}
