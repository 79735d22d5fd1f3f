package proxy

import (
	"crypto/tls"
	"testing"
)

func TestCipherSuiteNames(t *testing.T) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		name := cipherNames[s.ID]
		if name == "" {
			t.Errorf("%s has no name", s.Name)
			continue
		}
		if id, ok := CipherSuite(name); !ok || id != s.ID {
			t.Errorf("%s is %x, %v; want %x", name, id, ok, s.ID)
		}
	}
	for _, name := range []string{"DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "CAMELLIA128-SHA", "EXP-RC4-MD5", ""} {
		if id, ok := CipherSuite(name); ok {
			t.Errorf("%s is %x", name, id)
		}
	}
}

// TestPolicies negotiates with listeners as their policies say.
func TestPolicies(t *testing.T) {
	cert := certificate(t, "lb.test")
	weak := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	for _, tc := range []struct {
		name        string
		policy      TLSPolicy
		client      *tls.Config
		version     uint16 // 0: no handshake
		cipherSuite uint16 // 0: any
	}{
		{"a CLB's default has no TLS 1.3", TLSPolicy{}, &tls.Config{}, tls.VersionTLS12, 0},
		{"a CLB's default has TLS 1.0", TLSPolicy{}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: weak}, tls.VersionTLS10, weak[0]},
		{"no less than 1.2", TLSPolicy{MinVersion: tls.VersionTLS12}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0, 0},
		{"no more than 1.1", TLSPolicy{MaxVersion: tls.VersionTLS11}, &tls.Config{MinVersion: tls.VersionTLS10}, tls.VersionTLS11, 0},
		{"1.3, where it is asked for", TLSPolicy{MaxVersion: tls.VersionTLS13}, &tls.Config{}, tls.VersionTLS13, 0},
		{"one suite", TLSPolicy{CipherSuites: weak}, &tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12, weak[0]},
		{"no common suite", TLSPolicy{CipherSuites: weak}, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			b := l4(SSL, TCP, cert, "10.0.0.1")
			b.Listeners[0].TLS = tc.policy
			r.apply(b)
			config := tc.client.Clone()
			config.InsecureSkipVerify = true
			c := tls.Client(dial(t, r.at("lb", "", 443)), config)
			err := c.Handshake()
			s := c.ConnectionState()
			if (err == nil) != (tc.version != 0) || err == nil && s.Version != tc.version || tc.cipherSuite != 0 && s.CipherSuite != tc.cipherSuite {
				t.Errorf("version %x, suite %s, %v; want %x", s.Version, tls.CipherSuiteName(s.CipherSuite), err, tc.version)
			}
		})
	}
}
