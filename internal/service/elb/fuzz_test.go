package elb_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/service/elb"
)

func newInput(t reflect.Type) any { return reflect.New(t).Interface() }

// What is a target is one again when it is written, and does not break out of a
// request's first line.
func FuzzParseTarget(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		target, err := elb.ParseTarget(text)
		if err != nil {
			return
		}
		again, err := elb.ParseTarget(target.String())
		if err != nil || again != target {
			t.Errorf("%q is %+v, and %q is %+v, %v", text, target, target.String(), again, err)
		}
		if target.Port < 1 || target.Port > 65535 || strings.ContainsAny(target.Path, " \r\n\t") ||
			(target.Path != "") != strings.HasPrefix(target.Protocol, "HTTP") {
			t.Errorf("%q is %+v", text, target)
		}
	})
}

// What is a public key is one for crypto/x509, however its lines are broken.
func FuzzParsePublicKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		der, err := elb.ParsePublicKey(text)
		if err != nil {
			return
		}
		if _, err := x509.ParsePKIXPublicKey(der); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		again, err := elb.ParsePublicKey("-----BEGIN PUBLIC KEY-----\r\n" + base64.StdEncoding.EncodeToString(der))
		if err != nil || !bytes.Equal(der, again) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
