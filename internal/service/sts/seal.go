package sts

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tarn-eks/tarn/internal/policy"
)

// A session token is base64url(version, nonce, sealed), where sealed is a session
// in JSON, deflated, under AES-256-GCM with the version and the access key id as
// additional data: a token fits only the key that it was issued with.
const (
	tokenVersion = 1
	keySize      = 32
	maxToken     = 16 << 10 // characters; a session with the most of everything needs half
	maxOpened    = 64 << 10 // bytes of JSON
)

// session is what temporary credentials stand for. Either the role's or the
// user's fields are set. The names in JSON are short because tokens travel in
// headers and URLs.
type session struct {
	Secret  string `json:"k"`
	Issued  int64  `json:"i"` // Unix time
	Expires int64  `json:"e"`

	RoleARN  string `json:"r,omitempty"`
	RoleID   string `json:"d,omitempty"`
	Name     string `json:"n,omitempty"`
	Instance string `json:"c,omitempty"` // EC2 gave the credentials to it

	Provider string `json:"p,omitempty"` // ARN of the OIDC provider
	Subject  string `json:"s,omitempty"`

	Root     bool   `json:"o,omitempty"`
	UserARN  string `json:"u,omitempty"`
	UserID   string `json:"f,omitempty"`
	UserName string `json:"m,omitempty"`

	Policy         string            `json:"y,omitempty"`
	PolicyARNs     []string          `json:"a,omitempty"`
	Tags           map[string]string `json:"t,omitempty"`
	Transitive     []string          `json:"v,omitempty"`
	SourceIdentity string            `json:"q,omitempty"`
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("it must have %d bytes, not %d", keySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal makes the token of a session.
func seal(aead cipher.AEAD, accessKeyID string, s *session) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encoding a session: %w", err)
	}
	token := make([]byte, 1+aead.NonceSize(), 512)
	token[0] = tokenVersion
	rand.Read(token[1:])
	token = aead.Seal(token, token[1:], deflate(plain), additional(tokenVersion, accessKeyID))
	text := base64.RawURLEncoding.EncodeToString(token)
	if len(text) > maxToken {
		return "", fmt.Errorf("a session token of %d characters is longer than %d", len(text), maxToken)
	}
	return text, nil
}

// errToken says no more than what a forger may know.
var errToken = errors.New("the session token is none of this region's, or belongs to another access key")

// unseal opens a token; its error is errToken for everything that is not one.
func unseal(aead cipher.AEAD, accessKeyID, token string) (*session, error) {
	if len(token) > maxToken {
		return nil, errToken
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 1+aead.NonceSize() || raw[0] != tokenVersion {
		return nil, errToken
	}
	nonce, sealed := raw[1:1+aead.NonceSize()], raw[1+aead.NonceSize():]
	packed, err := aead.Open(nil, nonce, sealed, additional(raw[0], accessKeyID))
	if err != nil {
		return nil, errToken
	}
	plain, err := inflate(packed)
	if err != nil {
		return nil, errToken
	}
	s := new(session)
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, errToken
	}
	return s, nil
}

func additional(version byte, accessKeyID string) []byte {
	return append([]byte{version}, accessKeyID...)
}

func deflate(plain []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("deflating into memory: " + err.Error()) // it has no way to fail
	}
	return b.Bytes()
}

func inflate(packed []byte) ([]byte, error) {
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxOpened+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > maxOpened {
		return nil, errors.New("too large")
	}
	return plain, nil
}

func (s *session) issued() time.Time  { return time.Unix(s.Issued, 0).UTC() }
func (s *session) expires() time.Time { return time.Unix(s.Expires, 0).UTC() }

// principal is who the bearer of the credentials is.
func (s *session) principal() policy.Principal {
	if s.RoleARN != "" {
		r := parseRole(s.RoleARN)
		return policy.Principal{
			Type: policy.AssumedRole, ARN: r.session(s.Name), RoleARN: s.RoleARN,
			Account: r.account, UserID: s.RoleID + ":" + s.Name,
		}
	}
	p, _ := policy.PrincipalFromARN(s.UserARN)
	p.UserID, p.UserName = s.UserID, s.UserName
	return p
}
