// Package truststore has a machine trust a region's certificate authority, when
// a user asks for it: the system's store, Java's, and the databases of the
// browsers of the user who asks. It knows a certificate and a user; what the
// certificate signs is not its business.
package truststore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Store is a kind of places that certificates are trusted from.
type Store string

// The stores.
const (
	System   Store = "system"   // what programs on this machine read, Java's included
	Browsers Store = "browsers" // the databases of Chromium, its relatives and Firefox
)

// All are all stores.
var All = []Store{System, Browsers}

// ParseStores reads a list such as system,browsers.
func ParseStores(list string) ([]Store, error) {
	var stores []Store
	for word := range strings.SplitSeq(list, ",") {
		s := Store(strings.TrimSpace(word))
		if !slices.Contains(All, s) {
			return nil, fmt.Errorf("%q is no store: there are system and browsers", word)
		}
		if !slices.Contains(stores, s) {
			stores = append(stores, s)
		}
	}
	return stores, nil
}

// Config is what a Trust is made of.
type Config struct {
	// CAFile is the authority's certificate, in PEM.
	CAFile string
	// Record is a file that keeps what was installed for whom, so that it can be
	// removed when another user asks, or the authority is gone.
	Record string
	// User is whose browsers are meant. Uninstall does without one.
	User User
	// Root is where Debian's links and hooks are; / when empty.
	Root string
	// Show is told what was done, a line for each store.
	Show func(line string)
}

// Trust installs one authority's certificate.
type Trust struct {
	Config
}

// New makes a Trust. It reads and changes nothing yet.
func New(c Config) *Trust { return &Trust{c} }

// record is the file Config.Record.
type record struct {
	Certificate []byte `json:"certificate"` // DER
	System      bool   `json:"system"`
	Users       []User `json:"users"` // whose browsers trust it
}

// Recorded are the stores that it was installed in, and not removed from since.
func (t *Trust) Recorded() ([]Store, error) {
	r, err := t.read()
	if err != nil {
		return nil, err
	}
	var stores []Store
	if r.System {
		stores = append(stores, System)
	}
	if len(r.Users) > 0 {
		stores = append(stores, Browsers)
	}
	return stores, nil
}

// Install has the stores trust the certificate. What fails in one does not keep
// it from the others. It may be called again.
func (t *Trust) Install(ctx context.Context, stores []Store) error {
	ca, err := readCA(t.CAFile)
	if err != nil {
		return err
	}
	r, err := t.read()
	if err != nil {
		return err
	}
	if len(r.Certificate) > 0 && !bytes.Equal(r.Certificate, ca.Raw) {
		// The region was made anew: nobody has the key of its old authority.
		if err := t.uninstall(ctx, All, r); err != nil {
			return fmt.Errorf("removing the region's former certificate authority: %w", err)
		}
		r = record{}
	}
	// The record comes first: what is half done is undone by Uninstall.
	r.Certificate = ca.Raw
	r.System = r.System || slices.Contains(stores, System)
	if slices.Contains(stores, Browsers) && !slices.Contains(r.Users, t.User) {
		r.Users = append(r.Users, t.User)
	}
	if err := t.write(r); err != nil {
		return err
	}
	var failed []error
	if slices.Contains(stores, System) {
		failed = append(failed, t.installSystem(ca), t.installJava(ca))
	}
	if slices.Contains(stores, Browsers) {
		failed = append(failed, t.installBrowsers(ctx, ca))
	}
	return errors.Join(failed...)
}

// Uninstall has the stores trust this certificate no longer: for the user, and
// for all for whom it was installed. It is well when there is nothing to remove.
func (t *Trust) Uninstall(ctx context.Context, stores []Store) error {
	r, err := t.read()
	if err != nil {
		return err
	}
	var failed []error
	if len(r.Certificate) > 0 {
		failed = append(failed, t.uninstall(ctx, stores, r))
	}
	ca, err := readCA(t.CAFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		failed = append(failed, err)
	case !bytes.Equal(ca.Raw, r.Certificate):
		failed = append(failed, t.uninstall(ctx, stores, record{Certificate: ca.Raw}))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if slices.Contains(stores, System) {
		r.System = false
	}
	if slices.Contains(stores, Browsers) {
		r.Users = nil
	}
	if r.System || len(r.Users) > 0 {
		return t.write(r)
	}
	if err := os.Remove(t.Record); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// uninstall removes a certificate from the stores.
func (t *Trust) uninstall(ctx context.Context, stores []Store, r record) error {
	ca, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return fmt.Errorf("reading the certificate in %s: %w", t.Record, err)
	}
	var failed []error
	if slices.Contains(stores, System) {
		failed = append(failed, t.uninstallSystem(ctx, ca), t.uninstallJava(ca))
	}
	if slices.Contains(stores, Browsers) {
		users := r.Users
		if t.User.Home != "" && !slices.Contains(users, t.User) {
			users = append(slices.Clone(users), t.User)
		}
		for _, u := range users {
			failed = append(failed, t.uninstallBrowsers(ctx, ca, u, slices.Contains(r.Users, u)))
		}
	}
	return errors.Join(failed...)
}

func (t *Trust) show(format string, args ...any) {
	if t.Show != nil {
		t.Show(fmt.Sprintf(format, args...))
	}
}

func readCA(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if !ca.IsCA {
		return nil, fmt.Errorf("%s is no certificate authority", file)
	}
	return ca, nil
}

// nickname is what databases call the certificate. The fingerprint tells regions
// apart, whose authorities may have one name.
func nickname(ca *x509.Certificate) string {
	name := ca.Subject.CommonName
	if name == "" {
		name = "Tarn"
	}
	sum := sha256.Sum256(ca.Raw)
	return fmt.Sprintf("%s %x", name, sum[:8])
}

func (t *Trust) read() (record, error) {
	var r record
	data, err := os.ReadFile(t.Record)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("reading %s (without this file only what the asking user has installed is known): %w", t.Record, err)
	}
	return r, nil
}

func (t *Trust) write(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := t.Record + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Rename(tmp, t.Record); err != nil {
		return fmt.Errorf("putting %s in place: %w", filepath.Base(t.Record), err)
	}
	return nil
}
