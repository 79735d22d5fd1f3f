package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// signingKey is the key derived from a secret for one day, region and service.
type signingKey [sha256.Size]byte

// keyID is what a signing key is derived from.
type keyID struct{ secret, date, region, service string }

func deriveKey(id keyID) signingKey {
	k := mac([]byte("AWS4"+id.secret), []byte(id.date))
	k = mac(k[:], []byte(id.region))
	k = mac(k[:], []byte(id.service))
	return mac(k[:], []byte(terminator))
}

func mac(key, data []byte) (out signingKey) {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	h.Sum(out[:0])
	return out
}

// signHex writes the hexadecimal HMAC of data to dst.
func (k signingKey) signHex(dst *[64]byte, data []byte) {
	sum := mac(k[:], data)
	hex.Encode(dst[:], sum[:])
}

// keyCache keeps the keys used last. It has two generations: when the younger one is
// full, the older one is dropped, so it never holds more than size keys and a key in
// use stays.
type keyCache struct {
	half int

	mu         sync.Mutex // guards young and old
	young, old map[keyID]signingKey
}

func newKeyCache(size int) *keyCache {
	return &keyCache{half: max(1, size/2), young: map[keyID]signingKey{}}
}

func (c *keyCache) get(id keyID) signingKey {
	c.mu.Lock()
	k, ok := c.young[id]
	if !ok {
		if k, ok = c.old[id]; ok {
			c.put(id, k)
		}
	}
	c.mu.Unlock()
	if ok {
		return k
	}
	k = deriveKey(id) // outside the lock: deriving the same key twice does no harm
	c.mu.Lock()
	c.put(id, k)
	c.mu.Unlock()
	return k
}

// put wants the lock held.
func (c *keyCache) put(id keyID, k signingKey) {
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[keyID]signingKey, c.half)
	}
	c.young[id] = k
}
