package acm_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
)

func TestExport(t *testing.T) {
	f := newFixture(t)
	ctx, arn := t.Context(), f.request("example.com")
	export := func(passphrase string) (*sdk.ExportCertificateOutput, error) {
		return f.ExportCertificate(ctx, &sdk.ExportCertificateInput{CertificateArn: &arn, Passphrase: []byte(passphrase)})
	}
	_, err := export("secret")
	fails(t, "not exportable", err, "ValidationException", "Certificate ARN: "+arn+" is not a private certificate")
	requested, err := f.RequestCertificate(ctx, &sdk.RequestCertificateInput{
		DomainName: new("export.example.com"), ValidationMethod: types.ValidationMethodDns, Options: &types.CertificateOptions{Export: types.CertificateExportEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn = *requested.CertificateArn
	if o := f.describe(arn).Options; o.Export != types.CertificateExportEnabled {
		t.Errorf("%+v", o)
	}
	_, err = f.UpdateCertificateOptions(ctx, &sdk.UpdateCertificateOptionsInput{CertificateArn: &arn, Options: &types.CertificateOptions{Export: types.CertificateExportDisabled}})
	fails(t, "no more", err, "ValidationException", "cannot be changed")
	_, err = export("secret")
	fails(t, "pending", err, "RequestInProgressException", "has not yet been issued")
	key := f.issue(arn)
	for _, tc := range []struct{ name, passphrase, message string }{
		{"short", "abc", "Value at 'passphrase' failed to satisfy constraint: Member must have length greater than or equal to 4"},
		{"long", strings.Repeat("a", 129), "Value at 'passphrase' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"hash", "secret#", "except #, $, or %."},
		{"not ASCII", "sécret", "any ASCII character"},
	} {
		_, err := export(tc.passphrase)
		fails(t, tc.name, err, "ValidationException", tc.message)
		if err != nil && strings.Contains(err.Error(), tc.passphrase) {
			t.Errorf("%s: the message shows the passphrase", tc.name)
		}
	}
	if f.record(arn).Exported {
		t.Error("a refused export counts")
	}
	const passphrase = `correct "horse" battery`
	out, err := export(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(*out.Certificate, "BEGIN CERTIFICATE") != 1 || strings.Count(*out.CertificateChain, "BEGIN CERTIFICATE") != 2 || !f.record(arn).Exported {
		t.Errorf("%+v", out)
	}
	if got := decrypt(t, []byte(*out.PrivateKey), passphrase); !got.Equal(key) {
		t.Error("another key")
	}
	list, err := f.ListCertificates(ctx, &sdk.ListCertificatesInput{Includes: &types.Filters{ExportOption: types.CertificateExportEnabled}})
	if err != nil || len(list.CertificateSummaryList) != 1 || *list.CertificateSummaryList[0].CertificateArn != arn || !*list.CertificateSummaryList[0].Exported || list.CertificateSummaryList[0].ExportOption != types.CertificateExportEnabled {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := f.RenewCertificate(ctx, &sdk.RenewCertificateInput{CertificateArn: &arn}); err != nil {
		t.Errorf("renew what was exported: %v", err)
	}
	again, err := export(passphrase)
	if err != nil || *again.PrivateKey == *out.PrivateKey {
		t.Errorf("two exports have the same salt: %v", err)
	}

	t.Run("openssl", func(t *testing.T) {
		openssl, err := exec.LookPath("openssl")
		if err != nil {
			t.Skip("openssl is not installed")
		}
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, []byte(*out.PrivateKey), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, openssl, "pkcs8", "-in", file, "-passin", "stdin", "-topk8", "-nocrypt")
		cmd.Stdin = strings.NewReader(passphrase + "\n")
		plain, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(plain)
		got, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil || !key.Equal(got) {
			t.Errorf("openssl reads another key: %v", err)
		}
		cmd = exec.CommandContext(ctx, openssl, "pkcs8", "-in", file, "-passin", "stdin", "-topk8", "-nocrypt")
		cmd.Stdin = strings.NewReader("wrong\n")
		if err := cmd.Run(); err == nil {
			t.Error("openssl reads it with another passphrase")
		}
	})
}

// decrypt reads a key as a client would.
func decrypt(t *testing.T, text []byte, passphrase string) *ecdsa.PrivateKey {
	t.Helper()
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "ENCRYPTED PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		t.Fatalf("not an encrypted key: %s", text)
	}
	var info struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters struct {
				KDF struct {
					OID        asn1.ObjectIdentifier
					Parameters struct {
						Salt       []byte
						Iterations int
						PRF        asn1.RawValue
					}
				}
				Scheme struct {
					OID asn1.ObjectIdentifier
					IV  []byte
				}
			}
		}
		Data []byte
	}
	if _, err := asn1.Unmarshal(block.Bytes, &info); err != nil {
		t.Fatal(err)
	}
	p := info.Algorithm.Parameters
	if len(p.KDF.Parameters.Salt) < 16 || p.KDF.Parameters.Iterations < 100_000 {
		t.Errorf("salt of %d bytes, %d iterations", len(p.KDF.Parameters.Salt), p.KDF.Parameters.Iterations)
	}
	derived := must(pbkdf2.Key(sha256.New, passphrase, p.KDF.Parameters.Salt, p.KDF.Parameters.Iterations, 32))
	cipher.NewCBCDecrypter(must(aes.NewCipher(derived)), p.Scheme.IV).CryptBlocks(info.Data, info.Data)
	plain := info.Data[:len(info.Data)-int(info.Data[len(info.Data)-1])]
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey)
}
