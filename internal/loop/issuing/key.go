package issuing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/service/acm"
)

// want has a key made for the certificate, if none is under way. It is made
// while the validation is waited for, as one of RSA 4096 takes seconds, and
// leaves this process's memory only when it is issued.
func (t *tender) want(ctx context.Context, c acm.Certificate) {
	if t.key != nil {
		return
	}
	done := make(chan made, 1)
	t.key = done
	go func() { // run waits for what it sends
		select {
		case t.makers <- struct{}{}:
			defer func() { <-t.makers }()
			key, err := makeKey(c.Algorithm)
			done <- made{key, err}
		case <-ctx.Done():
			done <- made{err: context.Cause(ctx)}
		}
	}()
}

// take waits for the key that was wanted. The next must be wanted again.
func (t *tender) take(ctx context.Context) (crypto.Signer, error) {
	select {
	case m := <-t.key:
		t.key = nil
		return m.key, m.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func makeKey(algorithm acmapi.KeyAlgorithm) (crypto.Signer, error) {
	var key crypto.Signer
	var err error
	switch algorithm {
	case acmapi.KeyAlgorithmRsa2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case acmapi.KeyAlgorithmRsa3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case acmapi.KeyAlgorithmRsa4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	case acmapi.KeyAlgorithmEcPrime256v1:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case acmapi.KeyAlgorithmEcSecp384r1:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		return nil, fmt.Errorf("no key of the algorithm %s can be made; request the certificate with another", algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("generating a key (%s): %w", algorithm, err)
	}
	return key, nil
}
