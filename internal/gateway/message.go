package gateway

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/tarn-eks/tarn/internal/policy"
)

// MessageKeySize is the length of the key for Messages, in bytes.
const MessageKeySize = 32

// maxMessage bounds a decoded message, in bytes.
const maxMessage = 64 << 10

// Messages seals why EC2 denied a request into the text that its error carries,
// and opens that again for sts:DecodeAuthorizationMessage: who may not do
// something need not be shown why.
type Messages struct{ aead cipher.AEAD }

// NewMessages returns a codec. Messages can be decoded with the key that they
// were made with.
func NewMessages(key []byte) (*Messages, error) {
	if len(key) != MessageKeySize {
		return nil, fmt.Errorf("the key for authorization messages has %d bytes instead of %d", len(key), MessageKeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Messages{aead}, nil
}

// ErrInvalidMessage is a message that this region did not make:
// InvalidAuthorizationMessageException.
var ErrInvalidMessage = errors.New("the authorization message is invalid")

type items[T any] struct {
	Items []T `json:"items"`
}

type value struct {
	Value string `json:"value"`
}

type conditionKey struct {
	Key    string       `json:"key"`
	Values items[value] `json:"values"`
}

type matchedStatement struct {
	StatementID    string `json:"statementId"`
	Effect         string `json:"effect"`
	SourcePolicyID string `json:"sourcePolicyId"`
}

// denial is the document in a message, as AWS writes it.
type denial struct {
	Allowed           bool                    `json:"allowed"`
	ExplicitDeny      bool                    `json:"explicitDeny"`
	MatchedStatements items[matchedStatement] `json:"matchedStatements"`
	Failures          items[value]            `json:"failures"`
	Context           struct {
		Principal struct {
			ID   string `json:"id"`
			Name string `json:"name,omitempty"`
			ARN  string `json:"arn"`
		} `json:"principal"`
		Action     string              `json:"action"`
		Resource   string              `json:"resource"`
		Conditions items[conditionKey] `json:"conditions"`
	} `json:"context"`
}

// Encode seals a decision about a request.
func (m *Messages) Encode(r *policy.Request, d policy.Decision) string {
	out := denial{Allowed: d.Allowed(), ExplicitDeny: d.Outcome == policy.ExplicitDeny}
	out.MatchedStatements.Items = []matchedStatement{}
	out.Failures.Items = []value{}
	effect := "ALLOW"
	if out.ExplicitDeny {
		effect = "DENY"
	}
	for _, s := range d.Matched {
		out.MatchedStatements.Items = append(out.MatchedStatements.Items, matchedStatement{s.Sid, effect, s.Source})
	}
	c := &out.Context
	c.Principal.ID, c.Principal.Name, c.Principal.ARN = r.Principal.UserID, r.Principal.UserName, r.Principal.ARN
	c.Action, c.Resource = r.Action, d.Resource
	c.Conditions.Items = []conditionKey{}
	for _, k := range slices.Sorted(maps.Keys(r.Context)) {
		key := conditionKey{Key: k, Values: items[value]{[]value{}}}
		for _, v := range r.Context[k] {
			key.Values.Items = append(key.Values.Items, value{v})
		}
		c.Conditions.Items = append(c.Conditions.Items, key)
	}
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err == nil {
		err = errors.Join(json.NewEncoder(z).Encode(out), z.Close())
	}
	if err != nil {
		panic(err) // strings into memory: it cannot fail
	}
	return base64.RawURLEncoding.EncodeToString(m.aead.Seal(nil, nil, b.Bytes(), nil))
}

// Decode opens a message. Its error matches ErrInvalidMessage.
func (m *Messages) Decode(message string) (string, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(message)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalidMessage, err)
	}
	packed, err := m.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalidMessage, err)
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxMessage))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalidMessage, err)
	}
	return string(bytes.TrimSpace(text)), nil
}
