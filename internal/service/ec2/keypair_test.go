package ec2_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/crypto/ssh"
)

func TestCreateKeyPair(t *testing.T) {
	s, _ := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	for kind, prefix := range map[types.KeyType]string{"rsa": "-----BEGIN RSA PRIVATE KEY-----\n", "ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n"} {
		name := string(kind)
		made := must[*awsec2.CreateKeyPairOutput](t)(c.CreateKeyPair(t.Context(), &awsec2.CreateKeyPairInput{KeyName: &name, KeyType: kind}))
		checkID(t, "key", *made.KeyPairId)
		private, err := ssh.ParseRawPrivateKey([]byte(*made.KeyMaterial))
		if err != nil || !strings.HasPrefix(*made.KeyMaterial, prefix) {
			t.Fatalf("%s: %v", kind, err)
		}
		var public ssh.PublicKey
		switch k := private.(type) {
		case *rsa.PrivateKey:
			public, err = ssh.NewPublicKey(k.Public())
			if len(*made.KeyFingerprint) != 59 || k.N.BitLen() != 2048 { // SHA-1
				t.Errorf("fingerprint %s of %d bits", *made.KeyFingerprint, k.N.BitLen())
			}
		case *ed25519.PrivateKey:
			public, err = ssh.NewPublicKey(k.Public())
			if *made.KeyFingerprint != strings.TrimPrefix(ssh.FingerprintSHA256(public), "SHA256:")+"=" {
				t.Errorf("fingerprint %s", *made.KeyFingerprint)
			}
		default:
			t.Fatalf("%s: %T", kind, private)
		}
		if err != nil {
			t.Fatal(err)
		}
		got := must[*awsec2.DescribeKeyPairsOutput](t)(c.DescribeKeyPairs(t.Context(), &awsec2.DescribeKeyPairsInput{KeyNames: []string{name}, IncludePublicKey: aws.Bool(true)})).KeyPairs
		if len(got) != 1 || *got[0].PublicKey != strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) || got[0].KeyType != kind || *got[0].KeyFingerprint != *made.KeyFingerprint {
			t.Errorf("%+v", got)
		}
	}
	_, err := c.CreateKeyPair(t.Context(), &awsec2.CreateKeyPairInput{KeyName: aws.String("rsa")})
	wantCode(t, "a name in use", err, "InvalidKeyPair.Duplicate", "already exists")
	_, err = c.CreateKeyPair(t.Context(), &awsec2.CreateKeyPairInput{KeyName: aws.String("p"), KeyFormat: "ppk"})
	wantCode(t, "PuTTY's format", err, "Unsupported", "ppk")
	_, err = c.DescribeKeyPairs(t.Context(), &awsec2.DescribeKeyPairsInput{KeyNames: []string{"none"}})
	wantCode(t, "an unknown name", err, "InvalidKeyPair.NotFound", "'none'")
	for range 2 { // the second time there is nothing left
		must[*awsec2.DeleteKeyPairOutput](t)(c.DeleteKeyPair(t.Context(), &awsec2.DeleteKeyPairInput{KeyName: aws.String("rsa")}))
	}
	if got := must[*awsec2.DescribeKeyPairsOutput](t)(c.DescribeKeyPairs(t.Context(), &awsec2.DescribeKeyPairsInput{})).KeyPairs; len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// rsaKey is a public key whose fingerprint, the MD5 of its DER, is known from
// another program: ssh-keygen -e -m PKCS8 | openssl pkey -pubin -outform DER | md5sum.
const (
	rsaKey         = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDjVlnqvHSx6BcBQWEmYu7B2yrU3sU6b0o+vHlH7KGkt9NBM9VImKsqZ1tEpME53xHltz16lShx46ROsrazHY3xYjbakTceJI/c+DsZCi+anPrD9rsCVKWhKr1nGm4UmheXa/PFRvMafhXHq2N/oFxsa7XcHLJ7MrdrrzydJk3KYQRsNRCHPUu/qD5tK9na4f7VzbwW3uZW94RszvPCrSFZ75Lv8nvMS+PbOrc0gKundJFrXLTLuEyy81ObrngRFL4TtAmA8UxqvwTtOWONffhuRIDBe0UyKpUQ59ZJvQmpcEnaTtFAU4CWBaLouw8QhbXhAhyjv9bsfJ7rXy2ImPWr"
	rsaFingerprint = "6a:47:6f:62:75:d6:22:50:2d:25:5d:22:1c:46:7e:91"
)

func TestImportKeyPair(t *testing.T) {
	s, _ := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	fields := strings.Fields(rsaKey)
	rfc4716 := "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"a\\\nb\"\n" + fields[1][:70] + "\n" + fields[1][70:] + "\n---- END SSH2 PUBLIC KEY ----\n"
	for name, material := range map[string]string{"openssh": rsaKey, "with a comment": rsaKey + " me@here\n", "rfc4716": rfc4716} {
		got := must[*awsec2.ImportKeyPairOutput](t)(c.ImportKeyPair(t.Context(), &awsec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: []byte(material)}))
		if *got.KeyFingerprint != rsaFingerprint || *got.KeyName != name {
			t.Errorf("%s: %s, want %s", name, *got.KeyFingerprint, rsaFingerprint)
		}
	}
	for bits, taken := range map[int]bool{512: false, 1536: true} { // what ssh-keygen makes, 3072, takes long
		t.Setenv("GODEBUG", "rsa1024min=0")
		key := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, bits))
		public := must[ssh.PublicKey](t)(ssh.NewPublicKey(key.Public()))
		_, err := c.ImportKeyPair(t.Context(), &awsec2.ImportKeyPairInput{
			KeyName: aws.String(strconv.Itoa(bits)), PublicKeyMaterial: ssh.MarshalAuthorizedKey(public),
		})
		if (err == nil) != taken {
			t.Errorf("a key of %d bits: %v", bits, err)
		}
	}
	_, err := c.ImportKeyPair(t.Context(), &awsec2.ImportKeyPairInput{KeyName: aws.String("x"), PublicKeyMaterial: []byte("hello")})
	wantCode(t, "no key", err, "InvalidKey.Format", "OpenSSH")
}
