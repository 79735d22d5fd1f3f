package iam

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// newID makes a unique id: the prefix that tells its kind, and 17 characters.
func newID(prefix string) string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base32.StdEncoding.EncodeToString(b[:])[:17]
}

// newKeyID makes an access key id. As in AWS's, the digits behind the prefix begin with
// the account: 1 bit set, 40 bits of account, then chance.
func newKeyID(account string) string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	number, _ := strconv.ParseUint(account, 10, 40)
	head := uint64(1)<<63 | number<<23 | binary.BigEndian.Uint64(b[8:])>>41
	binary.BigEndian.PutUint64(b[:], head)
	return "AKIA" + base32.StdEncoding.EncodeToString(b[:10])
}

// newSecret makes a secret access key, 40 characters long.
func newSecret() string {
	var b [30]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
