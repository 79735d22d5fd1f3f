// Package sigv4 checks the Signature Version 4 of incoming AWS requests: in the
// Authorization header, in the query (presigned URLs) and chunk by chunk
// (aws-chunked bodies). It says who signed and for which service, or refuses in AWS's
// words. It knows nothing of users, policies or services: secrets come from a function,
// and what the signer may do is decided elsewhere.
//
// Rules: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
package sigv4

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	// timeFormat is ISO 8601's basic format, as in X-Amz-Date.
	timeFormat = "20060102T150405Z"

	// DefaultSkew is how far a request's date may be from the server's clock.
	DefaultSkew = 5 * time.Minute
	// DefaultMaxBody is the largest body taken into memory, in bytes.
	DefaultMaxBody = 16 << 20
	// DefaultCache is the number of derived signing keys that are kept.
	DefaultCache = 4096
	// MaxExpires is the longest life of a presigned URL.
	MaxExpires = 7 * 24 * time.Hour

	// STS ignores X-Amz-Expires: a presigned GetCallerIdentity, which is what
	// `aws eks get-token` prints, is good for 15 minutes whatever it says.
	stsPresignedLife = 15 * time.Minute
)

// Config sets a Verifier up; the zero value is complete.
type Config struct {
	// Skew is the largest difference between a request's date and the server's clock,
	// either way; 0 means DefaultSkew.
	Skew time.Duration
	// MaxBody limits the bytes of a body; 0 means DefaultMaxBody. Larger ones are
	// refused with BodyTooLarge.
	MaxBody int64
	// Cache is the number of signing keys kept; 0 means DefaultCache.
	Cache int
	// Region says which region the credential scope for a service must name: "" for
	// any. Nil allows every region.
	Region func(service string) string
}

// Secret is what belongs to an access key.
type Secret struct {
	SecretAccessKey string
	// SessionToken must accompany requests signed with temporary credentials; "" for
	// the keys of users.
	SessionToken string
	// Expires is when temporary credentials end; zero for never.
	Expires time.Time
}

// Keys looks an access key up. ErrUnknownKey (wrapped or not) refuses the request with
// InvalidClientTokenId; any other error is returned by Verify as it is.
type Keys func(accessKeyID string) (Secret, error)

// Identity is who signed a request and for what.
type Identity struct {
	AccessKeyID   string
	Date          string // of the credential scope, YYYYMMDD
	Region        string
	Service       string    // signing name: sts, ec2, elasticloadbalancing …
	SignedAt      time.Time // the request's own date
	SignedHeaders []string  // lower case, as the client listed them
	Presigned     bool
	SessionToken  string // as sent; "" if none
}

// Verifier checks signatures. It is safe for concurrent use.
type Verifier struct {
	cfg   Config
	cache *keyCache
}

// New returns a Verifier.
func New(cfg Config) *Verifier {
	if cfg.Skew == 0 {
		cfg.Skew = DefaultSkew
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Cache == 0 {
		cfg.Cache = DefaultCache
	}
	return &Verifier{cfg: cfg, cache: newKeyCache(cfg.Cache)}
}

// Claimed reads what a request says of its signer without checking anything: enough to
// route it, or to choose the dialect of an error. Its errors are of type *Error.
func Claimed(r *http.Request) (Identity, error) {
	c, err := parseClaim(r)
	if err != nil {
		return Identity{}, err
	}
	return c.identity(), nil
}

// Verify checks the signature of r at time now. Afterwards r.Body gives the body from
// its beginning: already checked, or, for aws-chunked bodies, decoded and checked while
// it is read (a bad chunk is then a read error of type *Error, and none of its bytes
// are given out).
//
// Its errors are of type *Error, except those that keys returned. An unsigned request
// matches ErrUnsigned; its body is untouched.
func (v *Verifier) Verify(r *http.Request, now time.Time, keys Keys) (Identity, error) {
	c, err := parseClaim(r)
	if err != nil {
		return Identity{}, err
	}
	id := c.identity()
	if err := v.checkClaim(c, now); err != nil {
		return id, err
	}
	secret, err := keys(c.accessKeyID)
	if errors.Is(err, ErrUnknownKey) {
		return id, refuse(UnknownKey, "")
	}
	if err != nil {
		return id, fmt.Errorf("looking up access key %s: %w", c.accessKeyID, err)
	}
	p, err := readPayload(r, c, v.cfg.MaxBody)
	if err != nil {
		return id, err
	}
	key := v.cache.get(keyID{secret.SecretAccessKey, c.date, c.region, c.service})
	if err := checkSignature(r, c, p, key); err != nil {
		return id, err
	}
	if c.service == "s3" {
		if name := unsignedHeader(r, c); name != "" {
			return id, refuse(UnsignedHeader, "")
		}
	}
	if subtle.ConstantTimeCompare([]byte(secret.SessionToken), []byte(c.token)) != 1 {
		return id, refuse(BadToken, "")
	}
	if !secret.Expires.IsZero() && !now.Before(secret.Expires) {
		return id, refuse(ExpiredToken, "")
	}
	if p.mismatch {
		return id, refuse(BadDigest, "")
	}
	p.install(r, c, key)
	return id, nil
}

// checkClaim checks everything that needs no secret, in AWS's order.
func (v *Verifier) checkClaim(c *claim, now time.Time) error {
	if err := v.checkTime(c, now); err != nil {
		return err
	}
	if !c.signs("host") && !c.signs(":authority") {
		return refuse(BadScope, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	var wrong []string
	if v.cfg.Region != nil {
		if want := v.cfg.Region(c.service); want != "" && want != c.region {
			wrong = append(wrong, "Credential should be scoped to a valid region, not '"+c.region+"'. ")
		}
	}
	if c.terminator != terminator {
		wrong = append(wrong, "Credential should be scoped with a valid terminator: 'aws4_request', not '"+c.terminator+"'. ")
	}
	if day := c.stamp[:8]; c.date != day {
		wrong = append(wrong, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			c.date+"' != '"+day+"', from '"+c.stamp+"'.")
	}
	if len(wrong) > 0 {
		return refuse(BadScope, strings.Join(wrong, ""))
	}
	return nil
}

func (v *Verifier) checkTime(c *claim, now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	life, expires := v.cfg.Skew, false
	switch {
	case c.presigned && c.service == "sts":
		life = stsPresignedLife
	case c.presigned && c.hasExpires:
		life, expires = c.expires, true
	}
	if oldest := now.Add(-life); c.time.Before(oldest) {
		if expires {
			return refuse(Expired, "")
		}
		return refuse(TimeSkewed, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %d min.)",
			c.stamp, oldest.Format(timeFormat), now.Format(timeFormat), int(life.Minutes())))
	}
	if newest := now.Add(v.cfg.Skew); c.time.After(newest) {
		return refuse(TimeSkewed, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %d min.)",
			c.stamp, newest.Format(timeFormat), now.Format(timeFormat), int(v.cfg.Skew.Minutes())))
	}
	return nil
}

// checkSignature compares the signature sent with the ones that the request may bear:
// clients differ in whether they sign a default port and a path with its dot segments
// resolved.
func checkSignature(r *http.Request, c *claim, p *payload, key signingKey) error {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	paths, hosts := canonicalPaths(r, c.service == "s3"), hostValues(r)
	query := canonicalQuery(c.query, c.presigned)
	var first *Error
	for _, path := range paths {
		for _, host := range hosts {
			b.reset()
			b.canonicalRequest(r, c, path, query, host, p.hash)
			n := len(b.bytes)
			b.stringToSign(c)
			var want [64]byte
			key.signHex(&want, b.bytes[n:])
			if subtle.ConstantTimeCompare(want[:], []byte(c.signature)) == 1 {
				return nil
			}
			if first == nil {
				first = refuse(BadSignature, "")
				first.CanonicalRequest, first.StringToSign = string(b.bytes[:n]), string(b.bytes[n:])
			}
		}
	}
	return first
}
