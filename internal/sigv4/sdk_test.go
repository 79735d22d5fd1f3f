package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"
)

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// randomRequest is a request as SDKs make them, with everything that needs care: odd
// characters in path, query and headers, repeated and empty values, default ports.
func randomRequest(rng *rand.Rand, service string) (*http.Request, []byte) {
	alphabet := []string{"a", "Z", "9", "-", "_", ".", "~", " ", "%", "+", "&", "=", "/", ":", ";", "@", "*", "'", "(", "é", "한", "!", "$", "\"", "[", "|"}
	word := func(n int) string {
		var s strings.Builder
		for range rng.IntN(n + 1) {
			s.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
		return s.String()
	}
	path := "/"
	for range rng.IntN(3) {
		segment := word(5)
		// The Go SDK signs S3 paths as they are; keys with a slash inside one segment
		// are beyond it.
		if segment = strings.ReplaceAll(segment, "/", ""); segment == "." || segment == ".." || segment == "" {
			segment = "x"
		}
		if service == "s3" {
			path += httpbinding.EscapePath(segment, true) + "/" // as the SDK's serializers do
		} else {
			path += url.PathEscape(segment) + "/"
		}
	}
	query := url.Values{}
	for range rng.IntN(5) {
		query.Add(word(4)+"k", word(6))
	}
	host := []string{"127.0.0.1:4566", "example.com", "example.com:80", "[::1]:4566", "sts.ap-northeast-2.amazonaws.com"}[rng.IntN(5)]
	var body []byte
	method := []string{"GET", "POST", "PUT", "DELETE"}[rng.IntN(4)]
	if method == "POST" || method == "PUT" {
		body = bytes.Repeat([]byte(word(20)+"x"), 1+rng.IntN(50))
	}
	r, err := http.NewRequest(method, "http://"+host+path+"?"+strings.ReplaceAll(query.Encode(), "+", "%20"), bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	if len(body) == 0 {
		r.Body, r.ContentLength = nil, 0
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Target", "Svc_2011.Op")
	for range rng.IntN(4) {
		r.Header.Add("X-Amz-Meta-"+string(rune('A'+rng.IntN(3))), "  a  b "+fmt.Sprint(rng.IntN(10))+"   c ")
	}
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", hashOf(body))
	}
	return r, body
}

// TestSDK sends what the Go SDK signs through a real server, and checks that any change
// on the way is noticed.
func TestSDK(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	creds := aws.Credentials{AccessKeyID: suiteKey, SecretAccessKey: suiteSecret, SessionToken: "tok/en+=="}
	keys := func(id string) (Secret, error) {
		if id != suiteKey {
			return Secret{}, ErrUnknownKey
		}
		return Secret{SecretAccessKey: suiteSecret, SessionToken: creds.SessionToken}, nil
	}
	v := New(Config{})
	var got error
	var gotID Identity
	var gotBody []byte
	var tamper func(*http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if tamper != nil {
			tamper(r)
		}
		gotID, got = v.Verify(r, at, keys)
		gotBody, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	target, _ := url.Parse(server.URL)
	send := func(r *http.Request, host string) {
		t.Helper()
		r.Host = host
		r.URL.Host = target.Host
		resp, err := server.Client().Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 600 {
		service := []string{"sts", "ec2", "eks", "route53", "s3", "elasticloadbalancing"}[i%6]
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
		r, body := randomRequest(rng, service)
		host := r.URL.Host
		presign := i%3 == 0
		hash := hashOf(body)
		if presign && service == "s3" {
			hash = "UNSIGNED-PAYLOAD"
			r.Header.Del("X-Amz-Content-Sha256")
		}
		if presign {
			q := r.URL.Query()
			q.Set("X-Amz-Expires", "60")
			r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
			signed, header, err := signer.PresignHTTP(context.Background(), creds, r, hash, service, "eu-west-1", at)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(signed)
			if err != nil {
				t.Fatal(err)
			}
			r.URL, r.Header = u, header
			r.Header.Del("Host") // the transport sends r.Host
			if len(body) > 0 {
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
		} else if err := signer.SignHTTP(context.Background(), creds, r, hash, service, "eu-west-1", at); err != nil {
			t.Fatal(err)
		}
		again := r.Clone(context.Background())
		again.Body = nil
		if body != nil {
			again.Body = io.NopCloser(bytes.NewReader(body))
		}
		tamper = nil
		send(r, host)
		if got != nil {
			e := got.(*Error)
			t.Fatalf("request %d (%s %s, %s): %v\n%s", i, r.Method, r.URL, service, got, e.CanonicalRequest)
		}
		if gotID.Service != service || gotID.Region != "eu-west-1" || gotID.Presigned != presign || gotID.SessionToken != creds.SessionToken {
			t.Fatalf("identity %+v", gotID)
		}
		if !bytes.Equal(gotBody, body) {
			t.Fatalf("request %d: body differs", i)
		}

		changes := []func(*http.Request){
			func(r *http.Request) { r.Method = "PATCH" },
			func(r *http.Request) { r.RequestURI, r.URL.Path, r.URL.RawPath = "/other/path", "/other/path", "" },
			func(r *http.Request) { r.URL.RawQuery += "&zz=1" },
			func(r *http.Request) { r.Host = "evil.example.com" },
		}
		if !presign { // the presigner moves this header into the query
			changes = append(changes, func(r *http.Request) { r.Header.Set("X-Amz-Target", "Svc_2011.Other") })
		}
		if hash != "UNSIGNED-PAYLOAD" {
			changes = append(changes, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("other body")) })
		}
		tamper = changes[rng.IntN(len(changes))]
		send(again, host)
		if got == nil {
			t.Fatalf("request %d: a change went unnoticed", i)
		}
	}
}

// TestEKSToken is what `aws eks get-token` sends: GetCallerIdentity, presigned for 60
// seconds, with the cluster's name in a signed header. STS honours it for 15 minutes.
func TestEKSToken(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	r, _ := http.NewRequest("GET", "http://127.0.0.1:4566/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
	r.Header.Set("x-k8s-aws-id", "eks-work")
	creds := aws.Credentials{AccessKeyID: suiteKey, SecretAccessKey: suiteSecret}
	signed, header, err := v4.NewSigner().PresignHTTP(context.Background(), creds, r, emptyHash, "sts", "ap-northeast-2", at)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(signed, "x-k8s-aws-id") {
		t.Fatal("the header is not signed:", signed)
	}
	request := func(cluster string) *http.Request {
		r := httptest.NewRequest("GET", signed, nil)
		r.Header = header.Clone()
		r.Header.Set("x-k8s-aws-id", cluster)
		return r
	}
	v := New(Config{})
	for _, after := range []time.Duration{0, 2 * time.Minute, 14*time.Minute + 59*time.Second} {
		id, err := v.Verify(request("eks-work"), at.Add(after), exampleKeys)
		if err != nil || !id.Presigned || id.Service != "sts" || id.Region != "ap-northeast-2" {
			t.Errorf("after %v: %+v, %v", after, id, err)
		}
	}
	_, err = v.Verify(request("other-cluster"), at, exampleKeys)
	wantCause(t, err, BadSignature)
	_, err = v.Verify(request("eks-work"), at.Add(16*time.Minute), exampleKeys)
	wantCause(t, err, TimeSkewed)
}
