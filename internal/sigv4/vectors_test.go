package sigv4

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The keys of AWS's published examples.
const (
	suiteKey    = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	s3Key       = "AKIAIOSFODNN7EXAMPLE"
	s3Secret    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func exampleKeys(id string) (Secret, error) {
	switch id {
	case suiteKey:
		return Secret{SecretAccessKey: suiteSecret}, nil
	case s3Key:
		return Secret{SecretAccessKey: s3Secret}, nil
	}
	return Secret{}, ErrUnknownKey
}

// parse reads a request as a server does.
func parse(t testing.TB, raw string) *http.Request {
	t.Helper()
	head, body, _ := strings.Cut(raw, "\n\n")
	if body != "" && !strings.Contains(strings.ToLower(head), "content-length:") {
		t.Fatal("a request with a body needs a Content-Length")
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSuite holds AWS's published SigV4 test suite: scope 20150830/us-east-1/service.
func TestSuite(t *testing.T) {
	const now = "20150830T123600Z"
	tests := []struct {
		name, request, signed, signature string
	}{
		{"get-vanilla", "GET / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-query", "GET / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-empty-query-key", "GET /?Param1=value1 HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		{"get-vanilla-query-order-key-case", "GET /?Param2=value2&Param1=value1 HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"get-vanilla-query-order-encoded", "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1 HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
		{"get-vanilla-query-unreserved", "GET /?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
		{"get-vanilla-utf8-query", "GET /?\u1234=bar HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		{"get-unreserved", "GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		{"get-utf8", "GET /\u1234 HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		{"get-slashes-normalized", "GET //example// HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
		{"get-slashes-unnormalized", "GET //example// HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
		{"get-relative-normalized", "GET /example/.. HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-relative-relative-normalized", "GET /example1/example2/../.. HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-slash-dot-slash-normalized", "GET /./ HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-slash-pointless-dot-normalized", "GET /./example HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
		{"get-header-key-duplicate", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1\nX-Amz-Date:20150830T123600Z", "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		{"get-header-value-order", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2\nX-Amz-Date:20150830T123600Z", "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
		{"get-header-value-multiline", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value1\nMy-Header1:value2\nMy-Header1:value3\nX-Amz-Date:20150830T123600Z", "host;my-header1;x-amz-date", "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"},
		{"get-header-value-trim", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1: value1\nMy-Header2: \"a   b   c\"\nX-Amz-Date:20150830T123600Z", "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"post-vanilla", "POST / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"post-header-key-sort", "POST / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value1\nX-Amz-Date:20150830T123600Z", "host;my-header1;x-amz-date", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
		{"post-header-value-case", "POST / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:VALUE1\nX-Amz-Date:20150830T123600Z", "host;my-header1;x-amz-date", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
		{"post-x-www-form-urlencoded", "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\nContent-Length: 13\n\nParam1=value1", "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		{"post-x-www-form-urlencoded-parameters", "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded; charset=utf8\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\nContent-Length: 13\n\nParam1=value1", "content-type;host;x-amz-date", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
	}
	at, _ := time.Parse(timeFormat, now)
	v := New(Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, tt.request)
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+
				tt.signed+", Signature="+tt.signature)
			id, err := v.Verify(r, at, exampleKeys)
			if err != nil {
				var e *Error
				errors.As(err, &e)
				t.Fatalf("%v\n%s\n\n%s", err, e.CanonicalRequest, e.StringToSign)
			}
			if id.AccessKeyID != suiteKey || id.Date != "20150830" || id.Region != "us-east-1" || id.Service != "service" ||
				id.Presigned || !id.SignedAt.Equal(at) || strings.Join(id.SignedHeaders, ";") != tt.signed {
				t.Errorf("identity = %+v", id)
			}
			if _, want, _ := strings.Cut(tt.request, "\n\n"); want != "" {
				if got, err := io.ReadAll(r.Body); err != nil || string(got) != want {
					t.Errorf("body afterwards = %q, %v", got, err)
				}
			}

			r = parse(t, tt.request)
			r.Method = "PUT"
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+
				tt.signed+", Signature="+tt.signature)
			wantCause(t, verify(v, r, at), BadSignature)
		})
	}
}

func verify(v *Verifier, r *http.Request, at time.Time) error {
	_, err := v.Verify(r, at, exampleKeys)
	return err
}

func wantCause(t testing.TB, err error, want Cause) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Cause != want {
		t.Fatalf("error = %v (%+v), want cause %d", err, e, want)
	}
	return e
}

func TestSuiteSessionToken(t *testing.T) {
	const token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
	keys := func(string) (Secret, error) {
		return Secret{SecretAccessKey: suiteSecret, SessionToken: token}, nil
	}
	at, _ := time.Parse(timeFormat, "20150830T123600Z")
	v := New(Config{})
	request := "GET / HTTP/1.1\nHost:example.amazonaws.com\n" +
		"Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8\n" +
		"X-Amz-Date:20150830T123600Z\nX-Amz-Security-Token:" + token
	id, err := v.Verify(parse(t, request), at, keys)
	if err != nil || id.SessionToken != token {
		t.Fatalf("%+v, %v", id, err)
	}
	// The same signature, but the key is one without a token.
	_, err = v.Verify(parse(t, request), at, exampleKeys)
	wantCause(t, err, BadToken)
}

// From "Authenticating Requests: Using Query Parameters" and the suite's query form.
func TestPresignedVectors(t *testing.T) {
	at, _ := time.Parse(timeFormat, "20150830T123600Z")
	v := New(Config{})
	r := parse(t, "GET /?Param1=value1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request"+
		"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600"+
		"&X-Amz-Signature=49096700cbbaa5753443850f40df10f904fc2fdb544dc9512203cc77c471a9de HTTP/1.1\nHost:example.amazonaws.com")
	if err := verify(v, r, at.Add(59*time.Minute)); err != nil {
		t.Error(err)
	}
	wantCause(t, verify(v, r, at.Add(61*time.Minute)), Expired)

	at, _ = time.Parse(timeFormat, "20130524T000000Z")
	s3 := "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
		"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1\nHost: examplebucket.s3.amazonaws.com"
	id, err := v.Verify(parse(t, s3), at.Add(23*time.Hour), exampleKeys)
	if err != nil || !id.Presigned || id.Service != "s3" {
		t.Errorf("%+v, %v", id, err)
	}
	wantCause(t, verify(v, parse(t, s3), at.Add(25*time.Hour)), Expired)
}

// From "Authenticating Requests: Using the Authorization Header".
func TestS3Vectors(t *testing.T) {
	at, _ := time.Parse(timeFormat, "20130524T000000Z")
	v := New(Config{})
	const cred = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
	for name, request := range map[string]string{
		"get": "GET /test.txt HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n" + cred +
			"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\n" +
			"Range: bytes=0-9\nx-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nx-amz-date: 20130524T000000Z",
		"put": "PUT /test%24file.text HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n" + cred +
			"SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\n" +
			"Date: Fri, 24 May 2013 00:00:00 GMT\nx-amz-date: 20130524T000000Z\nx-amz-storage-class: REDUCED_REDUNDANCY\n" +
			"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\nContent-Length: 21\n\nWelcome to Amazon S3.",
		"lifecycle": "GET /?lifecycle HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n" + cred +
			"SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\n" +
			"x-amz-date: 20130524T000000Z\nx-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"list": "GET /?max-keys=2&prefix=J HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n" + cred +
			"SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\n" +
			"x-amz-date: 20130524T000000Z\nx-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	} {
		if err := verify(v, parse(t, request), at); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// A header that was added on the way.
		r := parse(t, request)
		r.Header.Set("X-Amz-Acl", "public-read")
		wantCause(t, verify(v, r, at), UnsignedHeader)
	}
	r := parse(t, "PUT /test%24file.text HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n"+cred+
		"SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\n"+
		"Date: Fri, 24 May 2013 00:00:00 GMT\nx-amz-date: 20130524T000000Z\nx-amz-storage-class: REDUCED_REDUNDANCY\n"+
		"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\nContent-Length: 21\n\nWelcome to Amazon S4.")
	e := wantCause(t, verify(v, r, at), BadDigest).In(S3)
	if e.Code != "XAmzContentSHA256Mismatch" || e.Status != 400 {
		t.Errorf("%+v", e)
	}
}

// From "Signature Calculations … Transferring Payload in Multiple Chunks", with and
// without trailing headers: 66560 bytes of "a" in chunks of 64 KiB.
func chunkedExample(trailer bool) string {
	body := func(sigs ...string) string {
		return "10000;chunk-signature=" + sigs[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n" +
			"400;chunk-signature=" + sigs[1] + "\r\n" + strings.Repeat("a", 1024) + "\r\n" +
			"0;chunk-signature=" + sigs[2] + "\r\n"
	}
	if trailer {
		return body("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
			"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992") +
			"x-amz-checksum-crc32c:sOO8/Q==\r\n" +
			"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
	}
	return body("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
		"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
		"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9") + "\r\n"
}

func chunkedRequest(t testing.TB, trailer bool, body string) *http.Request {
	head := "PUT /examplebucket/chunkObject.txt HTTP/1.1\nHost: s3.amazonaws.com\nx-amz-date: 20130524T000000Z\n" +
		"x-amz-storage-class: REDUCED_REDUNDANCY\nContent-Encoding: aws-chunked\nx-amz-decoded-content-length: 66560\n"
	if trailer {
		head += "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\nx-amz-trailer: x-amz-checksum-crc32c\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e\n"
	} else {
		head += "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9\n"
	}
	r := parse(t, head+"Content-Length: 66824\n\n"+body)
	r.Body = io.NopCloser(strings.NewReader(body)) // the length is part of the signature, also of damaged bodies
	return r
}

func TestChunkedVectors(t *testing.T) {
	at, _ := time.Parse(timeFormat, "20130524T000000Z")
	v := New(Config{})
	for _, trailer := range []bool{false, true} {
		good := chunkedExample(trailer)
		r := chunkedRequest(t, trailer, good)
		if err := verify(v, r, at); err != nil {
			t.Fatal(trailer, err)
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte("a"), 66560)) {
			t.Fatalf("trailer %v: %d bytes, %v", trailer, len(got), err)
		}
		if r.ContentLength != 66560 || r.Header.Get("Content-Encoding") != "" {
			t.Errorf("length %d, encoding %q", r.ContentLength, r.Header.Get("Content-Encoding"))
		}
		if trailer && r.Trailer.Get("X-Amz-Checksum-Crc32c") != "sOO8/Q==" {
			t.Errorf("trailer = %v", r.Trailer)
		}
		for name, bad := range map[string]string{
			"first chunk":      strings.Replace(good, "\r\naaaa", "\r\naaab", 1),
			"second chunk":     strings.Replace(good, "aaaa\r\n0;", "aaab\r\n0;", 1),
			"chunks swapped":   strings.Replace(good, "400;chunk-signature=00", "400;chunk-signature=01", 1) + "x",
			"no last chunk":    good[:strings.LastIndex(good, "0;chunk")],
			"cut":              good[:70000-5000],
			"cut at the end":   good[:len(good)-3],
			"more":             good + "0;",
			"size too large":   strings.Replace(good, "10000;", "fffffffff;", 1),
			"size no number":   strings.Replace(good, "10000;", "-1;", 1),
			"no signature":     strings.Replace(good, ";chunk-signature", ";chunk-signatura", 1),
			"endless line":     strings.Repeat("0", 10000),
			"trailer value":    strings.Replace(good, "sOO8/Q==", "sOO8/R==", 1),
			"trailer appended": strings.Replace(good, "x-amz-trailer-", "x-amz-meta-a:1\r\nx-amz-trailer-", 1),
			"trailer unsigned": strings.Replace(good, "x-amz-trailer-signature", "x-amz-trailer-signatura", 1),
		} {
			if bad == good {
				continue // nothing to damage without trailers
			}
			r := chunkedRequest(t, trailer, bad)
			if err := verify(v, r, at); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%s (trailer %v): %d bytes, error %v", name, trailer, len(got), err)
			}
			if strings.Contains(string(got), "b") {
				t.Errorf("%s (trailer %v): bytes of an unverified chunk were given out", name, trailer)
			}
		}
	}
}

// Unsigned streams are decoded under the same rules of framing.
func TestUnsignedStream(t *testing.T) {
	const body = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
	for name, tt := range map[string]struct {
		body    string
		length  int64
		message string
	}{
		"good":               {body, 5, ""},
		"several chunks":     {"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 5, ""},
		"no last line":       {"5\r\nhello\r\n0\r\na:b\r\n", 5, ""},
		"longer than said":   {body, 4, "The body is longer than its x-amz-decoded-content-length"},
		"shorter than said":  {body, 6, "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header"},
		"extension":          {"5;chunk-signature=00\r\nhello\r\n0\r\n\r\n", 5, "A chunk of an unsigned stream has an extension"},
		"no CRLF":            {"5\r\nhelloo0\r\n\r\n", 5, "A chunk of the body does not end in CRLF"},
		"trailer":            {"5\r\nhello\r\n0\r\nnothing\r\n\r\n", 5, "The request contained trailing data that was not well-formed"},
		"many trailers":      {"5\r\nhello\r\n0\r\n" + strings.Repeat("a:b\r\n", 17) + "\r\n", 5, "The body has too many trailers"},
		"long trailer":       {"5\r\nhello\r\n0\r\na:" + strings.Repeat("b", 5000) + "\r\n\r\n", 5, "A line of the body's framing is too long"},
		"no size":            {"\r\nhello", 5, "A chunk's size is not a hexadecimal number"},
		"chunk beyond limit": {"800001\r\n", 1 << 30, "A chunk of the body is too large"},
	} {
		r := &http.Request{Body: io.NopCloser(strings.NewReader(tt.body)), Header: http.Header{"Content-Encoding": {"aws-chunked, gzip"}}}
		(&payload{hash: streamUnsignedTrailer, decoded: tt.length}).install(r, &claim{}, signingKey{})
		got, err := io.ReadAll(r.Body)
		if tt.message == "" {
			if err != nil || string(got) != "hello" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		} else if e := new(Error); !errors.As(err, &e) || e.Message != tt.message {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if e := r.Header.Get("Content-Encoding"); e != "gzip" {
			t.Errorf("content encoding %q", e)
		}
	}
}

// net/http takes some headers out of the map.
func TestHeaderValues(t *testing.T) {
	r := &http.Request{ContentLength: 42, TransferEncoding: []string{"chunked"}, Header: http.Header{"X-A": {"  a   b ", "", "c\t"}}}
	for name, want := range map[string]string{"content-length": "42", "transfer-encoding": "chunked", "x-a": "a b,,c", "absent": ""} {
		var b buffer
		if b.headerValues(r, name); string(b.bytes) != want {
			t.Errorf("%s: %q, want %q", name, b.bytes, want)
		}
	}
}
