package ec2

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/md5"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

// KeyPair is an SSH key pair, of which EC2 keeps the public key only.
type KeyPair struct {
	ID, Name    string
	Type        string // "rsa" or "ed25519"
	Fingerprint string
	PublicKey   string // a line of authorized_keys
	Tags        map[string]string
	Created     time.Time
}

// keyByName finds a key pair; the error is EC2's.
func (s *Service) keyByName(ctx context.Context, name string) (KeyPair, error) {
	all, err := list(ctx, s.KeyPairs)
	if err != nil {
		return KeyPair{}, err
	}
	for _, k := range all {
		if k.Name == name {
			return k, nil
		}
	}
	return KeyPair{}, bad("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
}

// addKeyPair keeps a new key pair, whose name must be new too.
func (s *Service) addKeyPair(ctx context.Context, k KeyPair, specs []ec2api.TagSpecification, dry *bool) (KeyPair, error) {
	if k.Name == "" || len(k.Name) > 255 || strings.Trim(k.Name, " ") != k.Name || strings.ContainsFunc(k.Name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return KeyPair{}, bad("InvalidParameterValue", "Value (%s) for parameter keyName is invalid. Key names are 1 to 255 ASCII characters, without spaces around them.", k.Name)
	}
	tags, err := tagSpecifications(ctx, specs, ec2api.ResourceTypeKeyPair)
	if err != nil {
		return KeyPair{}, err
	}
	s.allocating.Lock()
	defer s.allocating.Unlock()
	_, err = s.keyByName(ctx, k.Name)
	if err == nil {
		return KeyPair{}, bad("InvalidKeyPair.Duplicate", "The keypair already exists")
	}
	if api.Code(err) == "" {
		return KeyPair{}, err
	}
	if err := dryRun(dry); err != nil {
		return KeyPair{}, err
	}
	k.ID, k.Tags, k.Created = newID("key"), tags[ec2api.ResourceTypeKeyPair], s.now()
	_, err = s.KeyPairs.Create(ctx, k.ID, k)
	return k, err
}

// CreateKeyPair makes a key pair and returns the private key, which nobody keeps.
func (s *Service) CreateKeyPair(ctx context.Context, in *ec2api.CreateKeyPairInput) (*ec2api.CreateKeyPairOutput, error) {
	if in.KeyFormat != "" && in.KeyFormat != "pem" {
		return nil, bad("Unsupported", "The key format %s is not supported: there is pem, which PuTTYgen converts.", in.KeyFormat)
	}
	k, private, err := newKey(string(in.KeyType))
	if err != nil {
		return nil, err
	}
	k.Name = *in.KeyName
	if k, err = s.addKeyPair(ctx, k, in.TagSpecifications, in.DryRun); err != nil {
		return nil, err
	}
	return &ec2api.CreateKeyPairOutput{
		KeyFingerprint: new(k.Fingerprint), KeyMaterial: new(private), KeyName: new(k.Name), KeyPairId: new(k.ID), Tags: toTags(k.Tags),
	}, nil
}

// newKey makes a key of a type, "" being rsa, and its private key in PEM.
func newKey(kind string) (KeyPair, string, error) {
	switch kind {
	case "", "rsa":
		key, err := rsa.GenerateKey(crand.Reader, 2048)
		if err != nil {
			return KeyPair{}, "", fmt.Errorf("making an RSA key: %w", err)
		}
		// Keys that EC2 made have the SHA-1 of their private key as the fingerprint.
		// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return KeyPair{}, "", fmt.Errorf("writing an RSA key: %w", err)
		}
		sum := sha1.Sum(der)
		public, err := authorized(key.Public())
		private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
		return KeyPair{Type: "rsa", Fingerprint: colons(sum[:]), PublicKey: public}, strings.TrimSpace(string(private)), err
	case "ed25519":
		publicKey, key, err := ed25519.GenerateKey(crand.Reader)
		if err != nil {
			return KeyPair{}, "", fmt.Errorf("making an ED25519 key: %w", err)
		}
		public, err := authorized(publicKey)
		if err != nil {
			return KeyPair{}, "", err
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return KeyPair{}, "", fmt.Errorf("writing an ED25519 key: %w", err)
		}
		k, err := publicKeyPair([]byte(public))
		return k, string(pem.EncodeToMemory(block)), err
	default:
		return KeyPair{}, "", invalid("keyType", kind)
	}
}

func authorized(key crypto.PublicKey) (string, error) {
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("writing a public key: %w", err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), nil
}

func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, ":")
}

// publicKeyPair reads a public key as EC2 imports it: a line of authorized_keys,
// or the same in the format of RFC 4716, or DER in base64 (RSA).
func publicKeyPair(material []byte) (KeyPair, error) {
	malformed := bad("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	public, err := parsePublicKey(string(material))
	if err != nil {
		return KeyPair{}, malformed
	}
	inner, ok := public.(ssh.CryptoPublicKey)
	if !ok {
		return KeyPair{}, malformed
	}
	k := KeyPair{PublicKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))}
	switch key := inner.CryptoPublicKey().(type) {
	case *rsa.PublicKey:
		// EC2's documentation has 1024, 2048 and 4096 bits; its API takes others too,
		// and ssh-keygen makes 3072.
		if n := key.N.BitLen(); n < 1024 {
			return KeyPair{}, bad("InvalidKey.Format", "Key is too short: RSA keys have at least 1024 bits, not %d", n)
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return KeyPair{}, malformed
		}
		sum := md5.Sum(der)
		k.Type, k.Fingerprint = "rsa", colons(sum[:])
	case ed25519.PublicKey:
		sum := sha256.Sum256(public.Marshal())
		k.Type, k.Fingerprint = "ed25519", base64.StdEncoding.EncodeToString(sum[:])
	default:
		return KeyPair{}, bad("InvalidKey.Format", "Keys of the type %s are not supported: import an RSA or ED25519 key", public.Type())
	}
	return k, nil
}

func parsePublicKey(text string) (ssh.PublicKey, error) {
	text = strings.TrimSpace(text)
	if body, ok := strings.CutPrefix(text, "---- BEGIN SSH2 PUBLIC KEY ----"); ok {
		body, _, _ = strings.Cut(body, "---- END")
		var blob strings.Builder
		continued := false
		for line := range strings.Lines(body) {
			line = strings.TrimSpace(line)
			header := continued || strings.Contains(line, ":")
			continued = header && strings.HasSuffix(line, `\`)
			if !header {
				blob.WriteString(line)
			}
		}
		data, err := base64.StdEncoding.DecodeString(blob.String())
		if err != nil {
			return nil, err
		}
		return ssh.ParsePublicKey(data)
	}
	if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
		key, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return nil, err
		}
		return ssh.NewPublicKey(key)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	return key, err
}

// ImportKeyPair keeps a public key.
func (s *Service) ImportKeyPair(ctx context.Context, in *ec2api.ImportKeyPairInput) (*ec2api.ImportKeyPairOutput, error) {
	k, err := publicKeyPair(in.PublicKeyMaterial)
	if err != nil {
		return nil, err
	}
	k.Name = *in.KeyName
	if k, err = s.addKeyPair(ctx, k, in.TagSpecifications, in.DryRun); err != nil {
		return nil, err
	}
	return &ec2api.ImportKeyPairOutput{KeyFingerprint: new(k.Fingerprint), KeyName: new(k.Name), KeyPairId: new(k.ID), Tags: toTags(k.Tags)}, nil
}

// DescribeKeyPairs lists key pairs by name, id and filters.
func (s *Service) DescribeKeyPairs(ctx context.Context, in *ec2api.DescribeKeyPairsInput) (*ec2api.DescribeKeyPairsOutput, error) {
	all, err := list(ctx, s.KeyPairs)
	if err != nil {
		return nil, err
	}
	all, err = wanted(all, keyPairIDs, func(k KeyPair) string { return k.ID }, in.KeyPairIds)
	if err != nil {
		return nil, err
	}
	if len(in.KeyNames) > 0 {
		for _, name := range in.KeyNames {
			if !slices.ContainsFunc(all, func(k KeyPair) bool { return k.Name == name }) {
				return nil, bad("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
			}
		}
		all = slices.DeleteFunc(slices.Clone(all), func(k KeyPair) bool { return !slices.Contains(in.KeyNames, k.Name) })
	}
	all, err = selected(all, in.Filters, func(k KeyPair) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) {
			switch name {
			case "key-pair-id":
				return one(k.ID), true
			case "fingerprint":
				return one(k.Fingerprint), true
			case "key-name":
				return one(k.Name), true
			}
			return tagValues(k.Tags, name)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := &ec2api.DescribeKeyPairsOutput{KeyPairs: []ec2api.KeyPairInfo{}}
	for _, k := range all {
		info := ec2api.KeyPairInfo{
			KeyPairId: new(k.ID), KeyFingerprint: new(k.Fingerprint), KeyName: new(k.Name), KeyType: ec2api.KeyType(k.Type),
			Tags: toTags(k.Tags), CreateTime: new(k.Created),
		}
		if api.Val(in.IncludePublicKey) {
			info.PublicKey = new(k.PublicKey)
		}
		out.KeyPairs = append(out.KeyPairs, info)
	}
	return out, nil
}

// DeleteKeyPair removes a key pair; one that does not exist is no error.
func (s *Service) DeleteKeyPair(ctx context.Context, in *ec2api.DeleteKeyPairInput) (*ec2api.DeleteKeyPairOutput, error) {
	if in.KeyName == nil && in.KeyPairId == nil {
		return nil, missing("KeyName")
	}
	all, err := list(ctx, s.KeyPairs)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := &ec2api.DeleteKeyPairOutput{Return: new(true)}
	for _, k := range all {
		if (in.KeyName == nil || k.Name == *in.KeyName) && (in.KeyPairId == nil || k.ID == *in.KeyPairId) {
			if err := s.KeyPairs.Delete(ctx, k.ID); err != nil && !isNotFound(err) {
				return nil, err
			}
			out.KeyPairId = new(k.ID)
		}
	}
	return out, nil
}
