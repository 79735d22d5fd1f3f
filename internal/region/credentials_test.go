package region

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseCredentials(t *testing.T) {
	want := RootCredentials{"AKIA1", "a/b+c=d"}
	for _, test := range []struct {
		name, text string
		ok         bool
	}{
		{"as it is written", "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = a/b+c=d\n", true},
		{"without spaces", "aws_access_key_id=AKIA1\naws_secret_access_key=a/b+c=d", true},
		{"from Windows", "[default]\r\naws_access_key_id = AKIA1\r\naws_secret_access_key = a/b+c=d\r\n", true},
		{"with other lines", "# mine\n[default]\nregion = x\naws_secret_access_key = a/b+c=d\n\naws_access_key_id = AKIA1\n", true},
		{"without the id", "aws_secret_access_key = x\n", false},
		{"without the secret", "aws_access_key_id = AKIA1\naws_secret_access_key =\n", false},
		{"empty", "", false},
	} {
		got, err := parseCredentials([]byte(test.text))
		if test.ok && (err != nil || got != want) {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
		if !test.ok && (err == nil || !strings.Contains(err.Error(), "tarn up") || got != RootCredentials{}) {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
}

// FuzzParseCredentials: what is read is what is written again, and whatever the
// file holds nothing panics.
func FuzzParseCredentials(f *testing.F) {
	f.Add([]byte("[default]\naws_access_key_id = AKIA1\naws_secret_access_key = a/b+c=d\n"))
	f.Add([]byte("aws_access_key_id==\naws_secret_access_key=\t \xff"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCredentials(text)
		if err != nil {
			return
		}
		if c.AccessKeyID == "" || c.SecretAccessKey == "" {
			t.Fatalf("%+v", c)
		}
		if err := c.save(layout(dir)); err != nil {
			t.Fatal(err)
		}
		if again, err := LoadCredentials(dir); err != nil || again != c {
			t.Errorf("%+v, %v, want %+v", again, err, c)
		}
	})
}

// private checks that nobody else may read a file, and that nothing lies beside it.
func private(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%s: %v, %v", file, info, err)
	}
	if left, err := filepath.Glob(file + ".*"); err != nil || left != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestCredentials(t *testing.T) {
	l := layout(t.TempDir())
	if _, err := LoadCredentials(string(l)); err == nil || !strings.Contains(err.Error(), string(l)) || !strings.Contains(err.Error(), "tarn up") {
		t.Errorf("before there is a region: %v", err)
	}
	for _, want := range []RootCredentials{{"AKIA1", "secret/1"}, {"AKIA2", "secret+2="}} { // the second over the first
		if err := want.save(l); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadCredentials(string(l)); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		private(t, l.credentials())
	}
	gone := layout(filepath.Join(string(l), "gone"))
	if err := (RootCredentials{}).save(gone); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), gone.credentials()) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestCredentialsOfAnotherUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	l := layout(t.TempDir())
	if err := os.WriteFile(l.credentials(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(string(l)); err == nil || !strings.Contains(err.Error(), "sudo") {
		t.Error(err)
	}
}

func TestSessionKey(t *testing.T) {
	l := layout(t.TempDir())
	first, err := ensureSessionKey(l)
	if err != nil || len(first) != sessionKeyBytes || bytes.Equal(first, make([]byte, sessionKeyBytes)) {
		t.Fatalf("%x, %v", first, err)
	}
	private(t, l.sessionKey())
	if again, err := ensureSessionKey(l); err != nil || !bytes.Equal(again, first) {
		t.Errorf("the second time: %x, %v, want %x", again, err, first)
	}
	if other, err := ensureSessionKey(layout(t.TempDir())); err != nil || bytes.Equal(other, first) {
		t.Errorf("of another region: %x, %v", other, err)
	}
	for _, damage := range [][]byte{{}, first[:31], append(first, 0)} {
		if err := os.WriteFile(l.sessionKey(), damage, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ensureSessionKey(l)
		if err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), l.sessionKey()) {
			t.Errorf("%d bytes: %v", len(damage), err)
		}
		if left, err := os.ReadFile(l.sessionKey()); err != nil || !bytes.Equal(left, damage) {
			t.Errorf("it was replaced: %x, %v", left, err)
		}
	}
	if _, err := ensureSessionKey(layout(filepath.Join(string(l), "gone"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestDerivedKey(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, sessionKeyBytes)
	seen := map[string]bool{string(secret): true}
	for _, use := range []string{"session tokens", "authorization messages"} {
		key, err := derivedKey(secret, use)
		if err != nil || len(key) != sessionKeyBytes || seen[string(key)] {
			t.Errorf("%s: %x, %v", use, key, err)
		}
		seen[string(key)] = true
		if again, err := derivedKey(secret, use); err != nil || !bytes.Equal(again, key) {
			t.Errorf("%s, the second time: %x, %v", use, again, err)
		}
	}
}
