package region

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// RootCredentials are the long-term credentials of the account's root user.
type RootCredentials struct{ AccessKeyID, SecretAccessKey string }

// LoadCredentials reads the root user's credentials of a state directory. They
// are in the format of AWS's shared credentials file.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
func LoadCredentials(dataDir string) (RootCredentials, error) {
	file := layout(dataDir).credentials()
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return RootCredentials{}, fmt.Errorf("only root may read the region's keys in %s: run it with sudo", file)
	case errors.Is(err, fs.ErrNotExist):
		return RootCredentials{}, fmt.Errorf("the region in %s has no keys yet: `tarn up` makes them", dataDir)
	case err != nil:
		return RootCredentials{}, fmt.Errorf("reading the region's keys: %w", err)
	}
	return parseCredentials(data)
}

func parseCredentials(data []byte) (RootCredentials, error) {
	var c RootCredentials
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.AccessKeyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			c.SecretAccessKey = strings.TrimSpace(value)
		}
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return RootCredentials{}, errors.New("the region's file of keys has none in it: `tarn down` and `tarn up` write it again")
	}
	return c, nil
}

func (c RootCredentials) save(l layout) error {
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", c.AccessKeyID, c.SecretAccessKey)
	return writePrivate(l.credentials(), []byte(text))
}

// sessionKeyBytes is the size of the key that the keys of session tokens and of
// authorization messages follow from.
const sessionKeyBytes = 32

// derivedKey is the key for one use.
func derivedKey(key []byte, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, key, nil, use, sessionKeyBytes)
}

// ensureSessionKey is the region's own secret, made at first start.
func ensureSessionKey(l layout) ([]byte, error) {
	key, err := os.ReadFile(l.sessionKey())
	switch {
	case err == nil && len(key) == sessionKeyBytes:
		return key, nil
	case err == nil:
		return nil, fmt.Errorf("the state directory %s is damaged: %s has %d bytes, want %d; without the file, `tarn up` makes a new key, and temporary credentials end", l, l.sessionKey(), len(key), sessionKeyBytes)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading the key of session tokens: %w", err)
	}
	key = make([]byte, sessionKeyBytes)
	_, _ = rand.Read(key) // never fails: crypto/rand
	return key, writePrivate(l.sessionKey(), key)
}

// writePrivate replaces a file of mode 0600 whole or not at all.
func writePrivate(file string, data []byte) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
