package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// served is the name in the certificate.
	served = "bench.example.com"
	// small is the body of the small response.
	small = "Hello from the backend: nothing to see here, but some hundred bytes of text and nothing more.\n"
	// large is the size of the large response in bytes.
	large = 1_000_000
	// suite is the cipher suite of all connections. Left alone, OpenSSL's servers
	// and Go's choose different ones.
	suite = "TLS_AES_128_GCM_SHA256"
)

// contender is a proxy that is measured.
type contender struct {
	name    string
	address string // for HTTPS
	command func() *exec.Cmd
	*child  // while it runs
}

// ring is where the contenders meet: the same certificate, the same backend.
type ring struct {
	dir        string
	held       int    // connections that are held open
	pair       string // file with the certificate and its key
	leaf       *x509.Certificate
	origin     *child // the backend
	contenders []*contender
}

// settings are what the configuration files say. Time-outs and numbers of
// requests in them are such that no connection is closed while it is measured.
type settings struct {
	Dir, User, Pair, Listen, Backend, Small, Suite string
	Connections                                    int // of clients
	Files                                          int // open ones
	Workers                                        int
}

var originConf = template.Must(template.New("origin.conf").Parse(`
daemon off;
user {{.User}};
worker_processes 1;
worker_rlimit_nofile {{.Files}};
pid {{.Dir}}/origin.pid;
error_log stderr error;
events { worker_connections {{.Connections}}; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	default_type text/plain;
	keepalive_timeout 1h;
	keepalive_requests 1000000000;
	client_body_temp_path {{.Dir}}/origin-body;
	proxy_temp_path {{.Dir}}/origin-proxy;
	fastcgi_temp_path {{.Dir}}/origin-fastcgi;
	uwsgi_temp_path {{.Dir}}/origin-uwsgi;
	scgi_temp_path {{.Dir}}/origin-scgi;
	server {
		listen {{.Backend}} backlog=4096;
		location = /small { return 200 "{{.Small}}"; }
		location = /large { root {{.Dir}}/www; }
	}
}
`))

var nginxConf = template.Must(template.New("nginx.conf").Parse(`
daemon off;
user {{.User}};
worker_processes {{.Workers}};
worker_rlimit_nofile {{.Files}};
pid {{.Dir}}/nginx.pid;
error_log stderr error;
events { worker_connections {{.Files}}; }
http {
	access_log off;
	keepalive_timeout 1h;
	keepalive_requests 1000000000;
	client_body_temp_path {{.Dir}}/nginx-body;
	proxy_temp_path {{.Dir}}/nginx-proxy;
	fastcgi_temp_path {{.Dir}}/nginx-fastcgi;
	uwsgi_temp_path {{.Dir}}/nginx-uwsgi;
	scgi_temp_path {{.Dir}}/nginx-scgi;
	upstream origin {
		server {{.Backend}};
		keepalive 256;
		keepalive_requests 1000000000;
		keepalive_timeout 1h;
	}
	server {
		listen {{.Listen}} ssl backlog=4096;
		ssl_certificate {{.Pair}};
		ssl_certificate_key {{.Pair}};
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_conf_command Ciphersuites {{.Suite}};
		ssl_session_cache shared:tls:10m;
		location / {
			proxy_pass http://origin;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Forwarded-Port $server_port;
			proxy_max_temp_file_size 0;
		}
	}
}
`))

var haproxyConf = template.Must(template.New("haproxy.conf").Parse(`
global
	nbthread {{.Workers}}
	maxconn {{.Connections}}
defaults
	mode http
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	timeout http-keep-alive 1h
	option http-keep-alive
	option forwardfor
	http-reuse always
frontend https
	bind {{.Listen}} backlog 4096 ssl crt {{.Pair}} ssl-min-ver TLSv1.2 ciphersuites {{.Suite}}
	http-request set-header X-Forwarded-Proto https
	http-request set-header X-Forwarded-Port %[dst_port]
	default_backend origin
backend origin
	server origin {{.Backend}} check inter 10s
`))

// newRing writes certificate, bodies and configuration files, and starts the
// backend. The contenders rest until they are started.
func newRing(ctx context.Context, dir string, held int) (_ *ring, err error) {
	r := &ring{dir: dir, held: held, pair: filepath.Join(dir, "pair.pem")}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	s, err := r.settings()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	address := func(n int) string { return fmt.Sprintf("127.0.0.1:%d", ports[n]) }
	s.Backend = address(0)
	if err := errors.Join(r.certify(), os.MkdirAll(filepath.Join(dir, "www"), 0o755),
		os.WriteFile(filepath.Join(dir, "www", "large"), largeBody(), 0o644)); err != nil {
		return nil, err
	}
	write := func(t *template.Template, listen string) string {
		s.Listen = listen
		var text bytes.Buffer
		file := filepath.Join(dir, t.Name())
		err = errors.Join(err, t.Execute(&text, s), os.WriteFile(file, text.Bytes(), 0o644))
		return file
	}
	nginx, nginxErr := program("nginx")
	haproxy, haproxyErr := program("haproxy")
	self, selfErr := os.Executable()
	origin, haproxyFile, nginxFile := write(originConf, ""), write(haproxyConf, address(2)), write(nginxConf, address(3))
	if err := errors.Join(err, nginxErr, haproxyErr, selfErr); err != nil {
		return nil, err
	}
	runNginx := func(file string) *exec.Cmd {
		return exec.Command(nginx, "-e", "stderr", "-p", dir, "-c", file)
	}
	r.contenders = []*contender{
		{name: "Tarn", address: address(1), command: func() *exec.Cmd {
			return exec.Command(self, "proxy", "-listen", address(1), "-backend", s.Backend, "-pair", r.pair)
		}},
		{name: "HAProxy", address: address(2), command: func() *exec.Cmd { return exec.Command(haproxy, "-db", "-f", haproxyFile) }},
		{name: "nginx", address: address(3), command: func() *exec.Cmd { return runNginx(nginxFile) }},
	}
	if r.origin, err = launch("the backend", runNginx(origin)); err != nil {
		return nil, err
	}
	return r, r.origin.reachable(ctx, s.Backend)
}

// close ends what runs.
func (r *ring) close() {
	for _, c := range r.contenders {
		c.stop()
	}
	r.origin.stop()
}

// settings are those that depend on the machine.
func (r *ring) settings() (settings, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return settings{}, err
	}
	me, err := user.Current()
	if err != nil {
		return settings{}, err
	}
	// HAProxy reserves two files for each connection that it may have.
	connections := r.held + 1000
	files := 2*connections + 500
	if limit.Max < uint64(files) {
		return settings{}, fmt.Errorf("a process may have %d open files here, and %d are needed: raise the hard limit (ulimit -Hn)", limit.Max, files)
	}
	return settings{
		Dir: r.dir, User: me.Username, Pair: r.pair, Small: small, Suite: suite, Connections: connections, Files: files,
		Workers: 2,
	}, nil
}

// certify makes a certificate with an ECDSA key on P-256.
func (r *ring) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: served}, DNSNames: []string{served},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if r.leaf, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	return os.WriteFile(r.pair, text, 0o600)
}

// start starts a contender and looks whether it does what the others do.
func (r *ring) start(ctx context.Context, c *contender) (err error) {
	if c.child, err = launch(c.name, c.command()); err != nil {
		return err
	}
	if err := c.reachable(ctx, c.address); err != nil {
		return err
	}
	if err := r.check(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// check makes requests as a client that trusts the certificate and no other, each
// in a connection of its own, of which only the first one shakes hands anew.
func (r *ring) check(ctx context.Context, c *contender) error {
	config := clientTLS()
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(r.leaf)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	transport := &http.Transport{
		TLSClientConfig:   config,
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp4", c.address)
		},
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for n, want := range []struct{ path, body string }{{"/small", small}, {"/large", string(largeBody())}} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+served+want.path, nil)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/1.1":
			return fmt.Errorf("it answers GET %s with %s %s", want.path, resp.Proto, resp.Status)
		case string(body) != want.body:
			return fmt.Errorf("the body of %s has %d bytes and is not the backend's of %d", want.path, len(body), len(want.body))
		case resp.TLS.Version != tls.VersionTLS13 || tls.CipherSuiteName(resp.TLS.CipherSuite) != suite:
			return fmt.Errorf("it speaks %s with %s, not TLS 1.3 with %s", tls.VersionName(resp.TLS.Version), tls.CipherSuiteName(resp.TLS.CipherSuite), suite)
		case resp.TLS.DidResume != (n > 0):
			return fmt.Errorf("connection %d: it is %t that it resumes a TLS session", n+1, resp.TLS.DidResume)
		}
	}
	return nil
}

// largeBody is the body of the large response.
func largeBody() []byte { return bytes.Repeat([]byte("0123456789"), large/10) }

// program finds a program also where only root's PATH leads.
func program(name string) (string, error) {
	for _, file := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(file); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is missing: scripts/setup bench installs it", name)
}
