package ec2

import (
	"strings"
	"testing"
)

func FuzzPublicKeyPair(f *testing.F) {
	f.Add([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ6rJ comment"))
	f.Add([]byte("---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"a\\\nb\"\nAAAA\n---- END SSH2 PUBLIC KEY ----"))
	f.Add([]byte("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"))
	f.Fuzz(func(t *testing.T, material []byte) {
		k, err := publicKeyPair(material)
		if err != nil {
			return
		}
		if k.Fingerprint == "" || k.Type != "rsa" && k.Type != "ed25519" {
			t.Errorf("%+v", k)
		}
		again, err := publicKeyPair([]byte(k.PublicKey + "\n"))
		if err != nil || again.Fingerprint != k.Fingerprint || !strings.HasPrefix(k.PublicKey, "ssh-") {
			t.Errorf("%q is read as %+v, %v", k.PublicKey, again, err)
		}
	})
}
