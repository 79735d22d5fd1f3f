package acm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
)

// keys are what the region's key is used as: once for private keys, once for
// links.
func keys(key []byte) (cipher.AEAD, []byte, error) {
	if len(key) != 32 {
		return nil, nil, fmt.Errorf("the key for certificates' private keys has %d bytes, it must have 32", len(key))
	}
	sealKey, err := hkdf.Key(sha256.New, key, nil, "tarn acm private keys", 32)
	if err != nil {
		return nil, nil, fmt.Errorf("deriving the key for private keys: %w", err)
	}
	linkKey, err := hkdf.Key(sha256.New, key, nil, "tarn acm approval links", 32)
	if err != nil {
		return nil, nil, fmt.Errorf("deriving the key for approval links: %w", err)
	}
	block, err := aes.NewCipher(sealKey)
	if err != nil {
		return nil, nil, fmt.Errorf("sealing private keys: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, fmt.Errorf("sealing private keys: %w", err)
	}
	return seal, linkKey, nil
}

// sealKey seals a private key (PKCS #8) for the store. It opens under the ARN of
// its certificate only, so that one record's key is no use in another.
func (s *Service) sealKey(id string, key []byte) []byte {
	nonce := make([]byte, s.seal.NonceSize())
	rand.Read(nonce) // never fails
	return s.seal.Seal(nonce, nonce, key, []byte(s.ARN(id)))
}

// openKey is the reverse of sealKey.
func (s *Service) openKey(id string, sealed []byte) ([]byte, error) {
	n := s.seal.NonceSize()
	if len(sealed) < n {
		return nil, errors.New("the private key of " + s.ARN(id) + " is cut off in the store")
	}
	key, err := s.seal.Open(nil, sealed[:n], sealed[n:], []byte(s.ARN(id)))
	if err != nil {
		return nil, fmt.Errorf("opening the private key of %s, which was sealed under another key than the region's: %w", s.ARN(id), err)
	}
	return key, nil
}

func keyPEM(key []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}
