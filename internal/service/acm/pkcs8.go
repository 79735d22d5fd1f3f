package acm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
)

// The identifiers of RFC 8018, PKCS #5 version 2.1.
var (
	oidPBES2          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

const (
	saltSize   = 16
	keySize    = 32 // AES-256
	iterations = 100_000
)

type (
	encryptedPrivateKeyInfo struct {
		Algorithm pbes2Identifier
		Data      []byte
	}
	pbes2Identifier struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters pbes2Params
	}
	pbes2Params struct {
		KeyDerivation pbkdf2Identifier
		Scheme        cbcIdentifier
	}
	pbkdf2Identifier struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters pbkdf2Params
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		PRF        pkix.AlgorithmIdentifier
	}
	cbcIdentifier struct {
		Algorithm asn1.ObjectIdentifier
		IV        []byte
	}
)

// encryptKey writes a private key (PKCS #8) under a passphrase: RFC 5958 with
// PBES2, which openssl and every library after it read.
func encryptKey(key, passphrase []byte) ([]byte, error) {
	salt, iv := make([]byte, saltSize), make([]byte, aes.BlockSize)
	rand.Read(salt) // never fails
	rand.Read(iv)
	derived, err := pbkdf2.Key(sha256.New, string(passphrase), salt, iterations, keySize)
	if err != nil {
		return nil, fmt.Errorf("deriving a key from a passphrase: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("encrypting a private key: %w", err)
	}
	// RFC 8018 section 6.2: padded to whole blocks with the number of bytes added.
	pad := aes.BlockSize - len(key)%aes.BlockSize
	data := make([]byte, len(key)+pad)
	copy(data, key)
	for i := len(key); i < len(data); i++ {
		data[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	der, err := asn1.Marshal(encryptedPrivateKeyInfo{
		Algorithm: pbes2Identifier{oidPBES2, pbes2Params{
			KeyDerivation: pbkdf2Identifier{oidPBKDF2, pbkdf2Params{
				Salt: salt, Iterations: iterations,
				PRF: pkix.AlgorithmIdentifier{Algorithm: oidHMACWithSHA256, Parameters: asn1.NullRawValue},
			}},
			Scheme: cbcIdentifier{oidAES256CBC, iv},
		}},
		Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding an encrypted private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
}
