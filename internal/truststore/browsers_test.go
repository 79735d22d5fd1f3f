package truststore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needCertutil is the program, or the end of the test.
func needCertutil(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("certutil")
	if err != nil {
		t.Skip("certutil is not installed (package libnss3-tools): the browsers' databases are not tested")
	}
	return program
}

func touch(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatabases(t *testing.T) {
	home := filepath.Join(t.TempDir(), "a [b]*")
	touch(t, home,
		".pki/nssdb/cert9.db",
		".mozilla/firefox/abc.default/cert9.db",
		".mozilla/firefox/new.profile/prefs.js", // Firefox has not made it yet
		".mozilla/firefox/old.profile/cert8.db", // of before 2018
		".config/mozilla/firefox/def.default-release/cert9.db",
		"snap/chromium/current/.pki/nssdb/cert9.db",
		"snap/firefox/common/.mozilla/firefox/ghi.default/cert9.db",
		".var/app/org.chromium.Chromium/.pki/nssdb/cert9.db",
		"elsewhere/cert9.db",
	)
	var got []string
	for _, dir := range databases(home) {
		name, err := filepath.Rel(home, dir)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if diff := cmp.Diff([]string{
		".pki/nssdb", "snap/chromium/current/.pki/nssdb", ".var/app/org.chromium.Chromium/.pki/nssdb",
		".mozilla/firefox/abc.default", ".config/mozilla/firefox/def.default-release",
		"snap/firefox/common/.mozilla/firefox/ghi.default",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMissingDatabase(t *testing.T) {
	for name, test := range map[string]struct {
		has  []string
		want string
	}{
		"no browser yet":     {nil, ".pki/nssdb"},
		"Firefox only":       {[]string{".mozilla/firefox/a/cert9.db"}, ".pki/nssdb"},
		"Chromium":           {[]string{".pki/nssdb/cert9.db"}, ""},
		"Chromium by XDG":    {[]string{".local/share/pki/nssdb/cert9.db"}, ""},
		"an empty directory": {[]string{".pki/nssdb/.keep"}, ".pki/nssdb"},
	} {
		home := t.TempDir()
		touch(t, home, test.has...)
		want := test.want
		if want != "" {
			want = filepath.Join(home, want)
		}
		if got := missingDatabase(home); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestCertutilPackage(t *testing.T) {
	for manager, want := range map[string]string{
		"apt-get": "apt-get install libnss3-tools", "dnf": "dnf install nss-tools", "yum": "yum install nss-tools",
		"zypper": "zypper install mozilla-nss-tools", "pacman": "pacman -S nss", "apk": "apk add nss-tools",
		"": "libnss3-tools",
	} {
		if got := certutilPackage(func(p string) bool { return p == manager }); !strings.Contains(got, want) {
			t.Errorf("%s: %s", manager, got)
		}
	}
}

const listing = `
Certificate Nickname                                         Trust Attributes
                                                             SSL,S/MIME,JAR/XPI

Tarn region CA 0123456789abcdef                              C,,  
A name, with commas,, and  spaces                            CT,C,c
mine                                                         u,u,u
not trusted                                                  ,,   
a name that is longer than the column of the names is wide by far p,P,
`

func TestParseList(t *testing.T) {
	got := parseList([]byte(listing))
	if diff := cmp.Diff([]held{
		{"Tarn region CA 0123456789abcdef", "C,,"},
		{"A name, with commas,, and  spaces", "CT,C,c"},
		{"mine", "u,u,u"},
		{"not trusted", ",,"},
		{"a name that is longer than the column of the names is wide by far", "p,P,"},
	}, got, cmp.AllowUnexported(held{})); diff != "" {
		t.Error(diff)
	}
	for n, want := range []bool{true, true, false, false, false} {
		if got[n].authority() != want {
			t.Errorf("%+v signs for servers: %t", got[n], !want)
		}
	}
}

// FuzzParseList: an entry's parts are as they stand in one line.
func FuzzParseList(f *testing.F) {
	f.Add([]byte(listing))
	f.Add([]byte("a\tC,,\r\nb C,,x\n ,,\n\x00 ,,"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, h := range parseList(out) {
			if h.nickname == "" || strings.Trim(h.trust, "pPcCTuwgG") != ",," && strings.Count(h.trust, ",") != 2 ||
				!strings.Contains(string(out), h.nickname) || strings.Contains(h.nickname, "\n") {
				t.Errorf("%+v", h)
			}
		}
	})
}

func TestCaller(t *testing.T) {
	root, alice := User{}, User{UID: 1000, GID: 100}
	lookup := func(name string) (*user.User, error) {
		if name != "alice" {
			return nil, user.UnknownUserError(name)
		}
		return &user.User{Uid: "1000", Gid: "100", HomeDir: "/home/alice"}, nil
	}
	for name, test := range map[string]struct {
		self User
		env  map[string]string
		want User
		says string
	}{
		"root":                    {root, map[string]string{"HOME": "/root"}, User{Home: "/root"}, ""},
		"sudo":                    {root, map[string]string{"HOME": "/root", "SUDO_USER": "alice", "SUDO_UID": "1000"}, User{1000, 100, "/home/alice"}, ""},
		"root by sudo":            {root, map[string]string{"HOME": "/tmp/x", "SUDO_USER": "root", "SUDO_UID": "0"}, User{Home: "/tmp/x"}, ""},
		"a user":                  {alice, map[string]string{"HOME": "/home/alice"}, User{1000, 100, "/home/alice"}, ""},
		"a user that sudo made":   {alice, map[string]string{"HOME": "/home/alice", "SUDO_USER": "bob", "SUDO_UID": "7"}, User{1000, 100, "/home/alice"}, ""},
		"nobody knows":            {root, map[string]string{"HOME": "/root", "SUDO_USER": "bob", "SUDO_UID": "7"}, User{}, "bob"},
		"an environment of empty": {root, nil, User{}, "HOME"},
	} {
		got, err := caller(test.self, func(k string) string { return test.env[k] }, lookup)
		if test.says != "" {
			says(t, name, err, test.says, "--store system")
		} else if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestBrowsers(t *testing.T) {
	program := needCertutil(t)
	ca, file := newCA(t)
	trust, lines := newTrust(t, file)
	other, _ := newCA(t) // of another region, with the same subject
	firefox := filepath.Join(trust.User.Home, ".mozilla/firefox/abc.default")
	if err := makeDatabase(t.Context(), program, trust.User, firefox); err != nil {
		t.Fatal(err)
	}
	if err := (database{program, trust.User, firefox}).add(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	chromium := filepath.Join(trust.User.Home, ".pki/nssdb")

	for _, step := range []struct {
		what string
		do   func(context.Context, []Store) error
		want []string
		dirs int // that trust the certificate
	}{
		{"install", trust.Install, []string{"browser: added to " + chromium, "browser: added to " + firefox}, 2},
		{"again", trust.Install, []string{"browser: already in " + chromium, "browser: already in " + firefox}, 2},
		{"uninstall", trust.Uninstall, []string{"browser: removed from " + chromium, "browser: removed from " + firefox}, 0},
		{"again", trust.Uninstall, []string{"browser: was not in " + chromium, "browser: was not in " + firefox}, 0},
	} {
		*lines = nil
		if err := step.do(t.Context(), All[1:]); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if diff := cmp.Diff(step.want, *lines); diff != "" {
			t.Errorf("%s: %s", step.what, diff)
		}
		n := 0
		for _, dir := range []string{chromium, firefox} {
			there, err := database{program, trust.User, dir}.trusts(t.Context(), ca)
			if err != nil {
				t.Fatal(err)
			}
			if there {
				n++
			}
		}
		if n != step.dirs {
			t.Errorf("%s: %d databases trust it, want %d", step.what, n, step.dirs)
		}
		// Another region's authority is nobody's business here.
		if there, err := (database{program, trust.User, firefox}).trusts(t.Context(), other); err != nil || !there {
			t.Errorf("%s: the other authority: %t, %v", step.what, there, err)
		}
	}
	recorded(t, trust)
}

// What a user has imported by hand is the same certificate.
func TestImportedByHand(t *testing.T) {
	program := needCertutil(t)
	ca, file := newCA(t)
	trust, lines := newTrust(t, file)
	dir := filepath.Join(trust.User.Home, ".pki/nssdb")
	if err := makeDatabase(t.Context(), program, trust.User, dir); err != nil {
		t.Fatal(err)
	}
	d := database{program, trust.User, dir}
	if _, err := d.certutil(t.Context(), ca.Raw, "-A", "-t", ",,", "-n", "by hand"); err != nil {
		t.Fatal(err)
	}
	if err := trust.Install(t.Context(), All[1:]); err != nil {
		t.Fatal(err)
	}
	if there, err := d.trusts(t.Context(), ca); err != nil || !there {
		t.Errorf("trusted: %t, %v", there, err)
	}
	if err := trust.Uninstall(t.Context(), All[1:]); err != nil {
		t.Fatal(err)
	}
	if found, err := d.find(t.Context(), ca); err != nil || len(found) > 0 {
		t.Errorf("%v, %v; %q", found, err, *lines)
	}
}

// A database with a password can be changed by its user only. Nothing asks for
// the password, and nothing is left half done.
func TestDatabaseWithAPassword(t *testing.T) {
	program := needCertutil(t)
	ca, file := newCA(t)
	trust, lines := newTrust(t, file)
	locked := filepath.Join(trust.User.Home, ".mozilla/firefox/abc.default")
	if err := os.MkdirAll(locked, 0o755); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-N", "-d", "sql:"+locked, "-f", password).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	says(t, "install", trust.Install(t.Context(), All[1:]), locked, "browser's settings", file, "assword")
	if len(*lines) != 1 || !strings.Contains((*lines)[0], ".pki/nssdb") {
		t.Errorf("the other database: %q", *lines)
	}
	if found, err := (database{program, trust.User, locked}).find(t.Context(), ca); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// The files in a user's home are the user's, and a link in it leads root nowhere.
func TestFilesAreTheUsers(t *testing.T) {
	needCertutil(t)
	if os.Geteuid() != 0 {
		t.Skip("acting for another user needs root")
	}
	_, file := newCA(t)
	trust, _ := newTrust(t, file)
	trust.User.UID, trust.User.GID = 12345, 12345
	for dir := trust.User.Home; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(trust.User.Home, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := trust.Install(t.Context(), All[1:]); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(trust.User.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 12345 || st.Gid != 12345 {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		files++
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}

	// Somebody else's asking removes it, too.
	asking := New(trust.Config)
	asking.User = User{} // by a service, say
	if err := asking.Uninstall(t.Context(), All[1:]); err != nil {
		t.Errorf("uninstall: %v", err)
	}
	recorded(t, asking)

	target := t.TempDir() // root's
	if err := os.RemoveAll(filepath.Join(trust.User.Home, ".pki")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(trust.User.Home, ".pki")); err != nil {
		t.Fatal(err)
	}
	if err := trust.Install(t.Context(), All[1:]); err == nil {
		t.Error("a link led root out of the home")
	}
	if entries, err := os.ReadDir(target); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestUninstallWithoutCertutil(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, file := newCA(t)
	trust, lines := newTrust(t, file)
	if err := trust.Uninstall(t.Context(), All[1:]); err != nil {
		t.Errorf("without browsers: %v", err)
	}
	touch(t, trust.User.Home, ".pki/nssdb/cert9.db")
	if err := trust.Uninstall(t.Context(), All[1:]); err != nil {
		t.Errorf("a browser that nothing was installed in: %v; %q", err, *lines)
	}
	if err := trust.Install(t.Context(), All[1:]); err == nil {
		t.Error("install")
	}
	says(t, "uninstall", trust.Uninstall(t.Context(), All[1:]), "certutil")
	// The user is gone, and the home with it.
	if err := os.RemoveAll(trust.User.Home); err != nil {
		t.Fatal(err)
	}
	if err := trust.Uninstall(t.Context(), All[1:]); err != nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the home is gone: %v", err)
	}
}
