package imds

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// A token says by itself for whom and until when it is good, so there are no sessions to keep:
// 4 fixed bytes, 8 of expiry (Unix nanoseconds), 28 of HMAC-SHA-256 over those and the instance's
// id. In base64 it has AWS's length of 56 and AWS's beginning.
const (
	tokenPrefix = "\x01\x00\x04\x00"
	tokenExpiry = len(tokenPrefix)
	tokenMAC    = tokenExpiry + 8
	tokenSize   = tokenMAC + 28
)

type tokenKey [sha256.Size]byte

func (k *tokenKey) mint(instanceID string, expires time.Time) string {
	token := binary.BigEndian.AppendUint64([]byte(tokenPrefix), uint64(expires.UnixNano()))
	token = append(token, k.mac(token, instanceID)...)
	return base64.URLEncoding.EncodeToString(token)
}

// remaining returns how long the token is still good for the instance, or false when it is not.
func (k *tokenKey) remaining(token, instanceID string, now time.Time) (time.Duration, bool) {
	raw, err := base64.URLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tokenSize || !hmac.Equal(raw[tokenMAC:], k.mac(raw[:tokenMAC], instanceID)) {
		return 0, false
	}
	left := time.Unix(0, int64(binary.BigEndian.Uint64(raw[tokenExpiry:]))).Sub(now)
	return left, left > 0
}

func (k *tokenKey) mac(head []byte, instanceID string) []byte {
	m := hmac.New(sha256.New, k[:])
	m.Write(head)
	m.Write([]byte(instanceID))
	return m.Sum(nil)[:tokenSize-tokenMAC]
}
