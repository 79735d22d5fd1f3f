package sts

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
)

// Access key ids of AWS are four letters for the kind and eighty bits in base32:
// a bit that is set in ids of today's form, forty bits of account, and the rest
// is random. That is how GetAccessKeyInfo knows the account of any key.
const (
	accountBits  = 0x7fffffffff80
	accountShift = 7
	modernID     = 1 << 47
)

// newKeyID makes the id of temporary credentials of an account.
func newKeyID(account string) (string, error) {
	n, err := strconv.ParseUint(account, 10, 40)
	if err != nil {
		return "", fmt.Errorf("account %q is not twelve digits: %w", account, err)
	}
	var b [10]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	head := uint64(b[0])<<40 | uint64(binary.BigEndian.Uint32(b[1:5]))<<8 | uint64(b[5])
	head = head&^accountBits&^modernID | n<<accountShift | modernID
	b[0], b[5] = byte(head>>40), byte(head)
	binary.BigEndian.PutUint32(b[1:5], uint32(head>>8))
	return "ASIA" + base32.StdEncoding.EncodeToString(b[:]), nil
}

// accountOf reads the account out of an access key id of today's form.
func accountOf(id string) (account string, ok bool) {
	if len(id) != 20 || id[:4] != "AKIA" && id[:4] != "ASIA" {
		return "", false
	}
	b, err := base32.StdEncoding.DecodeString(id[4:])
	if err != nil || len(b) != 10 || b[0]&0x80 == 0 {
		return "", false
	}
	head := uint64(b[0])<<40 | uint64(binary.BigEndian.Uint32(b[1:5]))<<8 | uint64(b[5])
	n := head & accountBits >> accountShift
	if n > 999_999_999_999 {
		return "", false
	}
	return fmt.Sprintf("%012d", n), true
}
