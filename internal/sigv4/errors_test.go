package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	vanilla = "GET / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\n"
	goodSig = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	auth    = "Authorization: AWS4-HMAC-SHA256 "
	scope   = "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
	signed  = "SignedHeaders=host;x-amz-date"
	presign = "GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request" +
		"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Signature=" + goodSig
)

func TestRefusals(t *testing.T) {
	noon, _ := time.Parse(timeFormat, "20150830T123600Z")
	v := New(Config{MaxBody: 100, Region: func(service string) string {
		if service == "iam" {
			return "us-east-1"
		}
		return ""
	}})
	tests := []struct {
		name, request string
		skew          time.Duration
		cause         Cause
		code          string
		status        int
		message       string
	}{
		{name: "unsigned", request: vanilla, cause: Unsigned, code: "MissingAuthenticationToken", status: 403, message: "Request is missing Authentication Token"},
		{name: "basic", request: vanilla + "Authorization: Basic QVdTOnBhc3M=", cause: Unsigned, code: "MissingAuthenticationToken", status: 403, message: "Request is missing Authentication Token"},
		{name: "nothing in it", request: "GET / HTTP/1.1\nHost:a\n" + auth, cause: Unsigned, code: "MissingAuthenticationToken", status: 403, message: "Request is missing Authentication Token"}, // AWS4-HMAC-SHA256 trimmed by the parser
		{name: "no parts, no date", request: "GET / HTTP/1.1\nHost:a\n" + auth + ",", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 ,"},
		{name: "no signature", request: vanilla + auth + scope + "," + signed, cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256 " + scope + "," + signed},
		{name: "no value", request: vanilla + auth + "Credential, x", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 Credential, x'."},
		{name: "twice", request: vanilla + auth + scope + "," + scope + "," + signed + ",Signature=0", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "Authorization header has more than one 'Credential' parameter. Authorization=AWS4-HMAC-SHA256 " + scope + "," + scope + "," + signed + ",Signature=0"},
		{name: "algorithm", request: vanilla + "Authorization: AWS4-HMAC-SHA512 " + scope + ", " + signed + ", Signature=0", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512' (only AWS4-HMAC-SHA256 for now). "},
		{name: "credential", request: vanilla + auth + "Credential=a/b/c/d, " + signed + ", Signature=0", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c/d'"},
		{name: "date", request: "GET / HTTP/1.1\nHost:a\nX-Amz-Date: 201\n" + auth + scope + ", " + signed + ", Signature=0", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{name: "late", request: vanilla + auth + scope + ", " + signed + ", Signature=" + goodSig, skew: 301 * time.Second, cause: TimeSkewed, code: "SignatureDoesNotMatch", status: 403,
			message: "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"},
		{name: "just in time", request: vanilla + auth + scope + ", " + signed + ", Signature=" + goodSig, skew: 300 * time.Second},
		{name: "early", request: vanilla + auth + scope + ", " + signed + ", Signature=" + goodSig, skew: -301 * time.Second, cause: TimeSkewed, code: "SignatureDoesNotMatch", status: 403,
			message: "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"},
		{name: "host unsigned", request: vanilla + auth + scope + ", SignedHeaders=x-amz-date, Signature=0", cause: BadScope, code: "SignatureDoesNotMatch", status: 403,
			message: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{name: "scope", request: vanilla + auth + "Credential=AKIDEXAMPLE/foobar/mars/iam/aws5_request, " + signed + ", Signature=0", cause: BadScope, code: "SignatureDoesNotMatch", status: 403,
			message: "Credential should be scoped to a valid region, not 'mars'. Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. " +
				"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: 'foobar' != '20150830', from '20150830T123600Z'."},
		{name: "key", request: vanilla + auth + "Credential=AKIDUNKNOWN/20150830/us-east-1/service/aws4_request, " + signed + ", Signature=0", cause: UnknownKey, code: "InvalidClientTokenId", status: 403,
			message: "The security token included in the request is invalid."},
		{name: "signature", request: vanilla + auth + scope + ", " + signed + ", Signature=" + strings.Replace(goodSig, "5f", "6f", 1), cause: BadSignature, code: "SignatureDoesNotMatch", status: 403, message: msgMismatch},
		{name: "no hex", request: vanilla + auth + scope + ", " + signed + ", Signature=zz", cause: BadSignature, code: "SignatureDoesNotMatch", status: 403, message: msgMismatch},
		{name: "both", request: presign + " HTTP/1.1\nHost:a\n" + auth + scope + ", " + signed + ", Signature=0", cause: Ambiguous, code: "SignatureDoesNotMatch", status: 403,
			message: "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."},
		{name: "query incomplete", request: "GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x HTTP/1.1\nHost:a", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."},
		{name: "expires too long", request: presign + "&X-Amz-Expires=604801 HTTP/1.1\nHost:a", cause: Incomplete, code: "IncompleteSignature", status: 400,
			message: "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"},
		{name: "expires negative", request: presign + "&X-Amz-Expires=-1 HTTP/1.1\nHost:a", cause: Incomplete, code: "IncompleteSignature", status: 400, message: "X-Amz-Expires must be non-negative"},
		{name: "expires no number", request: presign + "&X-Amz-Expires=9999999999999999999999 HTTP/1.1\nHost:a", cause: Incomplete, code: "IncompleteSignature", status: 400, message: "X-Amz-Expires should be a number"},
		{name: "presigned, expired", request: presign + "&X-Amz-Expires=60 HTTP/1.1\nHost:a", skew: 61 * time.Second, cause: Expired, code: "RequestExpired", status: 400, message: "Request has expired."},
		{name: "presigned, from the future", request: presign + "&X-Amz-Expires=604800 HTTP/1.1\nHost:a", skew: -time.Hour, cause: TimeSkewed, code: "SignatureDoesNotMatch", status: 403,
			message: "Signature not yet current: 20150830T123600Z is still later than 20150830T114100Z (20150830T113600Z + 5 min.)"},
		{name: "bad escape", request: "GET /?a=%zz HTTP/1.1\nHost:a", cause: MalformedQuery, code: "MalformedQueryString", status: 400, message: "Illegal hex character in escape % pattern: %zz"},
		{name: "cut escape", request: "GET /?a=%2 HTTP/1.1\nHost:a", cause: MalformedQuery, code: "MalformedQueryString", status: 400, message: "Incomplete trailing escape % sequence"},
		{name: "large body", request: "POST / HTTP/1.1\nHost:a\nX-Amz-Date:20150830T123600Z\nContent-Length: 101\n" + auth + scope + ", " + signed + ", Signature=0\n\n" + strings.Repeat("x", 101),
			cause: BodyTooLarge, code: "RequestEntityTooLarge", status: 413, message: "Request body is too large"},
		{name: "large body, length unknown", request: "POST / HTTP/1.1\nHost:a\nX-Amz-Date:20150830T123600Z\nTransfer-Encoding: chunked\nx: content-length:\n" + auth + scope + ", " + signed + ", Signature=0\n\n65\r\n" + strings.Repeat("x", 101) + "\r\n0\r\n\r\n",
			cause: BodyTooLarge, code: "RequestEntityTooLarge", status: 413, message: "Request body is too large"},
		{name: "short body", request: "POST / HTTP/1.1\nHost:a\nX-Amz-Date:20150830T123600Z\nContent-Length: 50\n" + auth + scope + ", " + signed + ", Signature=0\n\nx",
			cause: BadBody, code: "IncompleteBody", status: 400, message: "The request body terminated unexpectedly: unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, tt.request)
			if tt.name == "nothing in it" {
				r.Header.Set("Authorization", "AWS3")
			}
			err := verify(v, r, noon.Add(tt.skew))
			if tt.cause == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e := wantCause(t, err, tt.cause)
			if e.Code != tt.code || e.Status != tt.status || e.Message != tt.message {
				t.Errorf("got  %s %d %q\nwant %s %d %q", e.Code, e.Status, e.Message, tt.code, tt.status, tt.message)
			}
			if errors.Is(err, ErrUnsigned) != (tt.cause == Unsigned) {
				t.Error("errors.Is(err, ErrUnsigned) is wrong")
			}
			if (e.StringToSign != "") != (tt.cause == BadSignature) {
				t.Errorf("string to sign: %q", e.StringToSign)
			}
		})
	}
}

func TestMismatchIsDiagnosed(t *testing.T) {
	noon, _ := time.Parse(timeFormat, "20150830T123600Z")
	e := wantCause(t, verify(New(Config{}), parse(t, vanilla+auth+scope+", "+signed+", Signature=0"), noon), BadSignature)
	wantRequest := "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n" + emptyHash
	wantString := "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n" +
		"bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"
	if e.CanonicalRequest != wantRequest || e.StringToSign != wantString {
		t.Errorf("%q\n%q", e.CanonicalRequest, e.StringToSign)
	}
	if strings.Contains(e.Error(), "host:") {
		t.Error("the client is shown the diagnosis")
	}
}

func TestTemporaryCredentials(t *testing.T) {
	noon, _ := time.Parse(timeFormat, "20150830T123600Z")
	request := vanilla + auth + scope + ", " + signed + ", Signature=" + goodSig
	v := New(Config{})
	check := func(s Secret, token string) error {
		s.SecretAccessKey = suiteSecret
		r := parse(t, request)
		if token != "" {
			r.Header.Set("X-Amz-Security-Token", token)
		}
		_, err := v.Verify(r, noon, func(string) (Secret, error) { return s, nil })
		return err
	}
	if err := check(Secret{SessionToken: "t", Expires: noon.Add(time.Second)}, "t"); err != nil {
		t.Error(err)
	}
	wantCause(t, check(Secret{SessionToken: "t", Expires: noon}, "t"), ExpiredToken)
	wantCause(t, check(Secret{SessionToken: "t"}, ""), BadToken)
	wantCause(t, check(Secret{SessionToken: "t"}, "u"), BadToken)
	wantCause(t, check(Secret{}, "t"), BadToken)
	// An expired token is reported only to those who hold the secret.
	_, err := v.Verify(parse(t, request), noon, func(string) (Secret, error) {
		return Secret{SecretAccessKey: "other", Expires: noon.Add(-time.Hour)}, nil
	})
	wantCause(t, err, BadSignature)
	// A lookup that fails is no answer about the key.
	broken := errors.New("store is down")
	_, err = v.Verify(parse(t, request), noon, func(string) (Secret, error) { return Secret{}, broken })
	var e *Error
	if !errors.Is(err, broken) || errors.As(err, &e) {
		t.Error(err)
	}
	_, err = v.Verify(parse(t, request), noon, func(string) (Secret, error) { return Secret{}, fmt.Errorf("key: %w", ErrUnknownKey) })
	wantCause(t, err, UnknownKey)
}

func TestDialects(t *testing.T) {
	tests := []struct {
		cause   Cause
		dialect Dialect
		code    string
		status  int
		message string
	}{
		{BadSignature, Query, "SignatureDoesNotMatch", 403, msgMismatch},
		{BadSignature, JSON, "InvalidSignatureException", 400, msgMismatch},
		{BadSignature, RESTJSON, "InvalidSignatureException", 403, msgMismatch},
		{BadSignature, EC2, "AuthFailure", 401, "AWS was not able to validate the provided access credentials"},
		{BadSignature, S3, "SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
		{UnknownKey, Query, "InvalidClientTokenId", 403, "The security token included in the request is invalid."},
		{UnknownKey, JSON, "UnrecognizedClientException", 400, "The security token included in the request is invalid."},
		{UnknownKey, RESTJSON, "UnrecognizedClientException", 403, "The security token included in the request is invalid."},
		{UnknownKey, EC2, "AuthFailure", 401, "AWS was not able to validate the provided access credentials"},
		{UnknownKey, S3, "InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."},
		{Unsigned, JSON, "MissingAuthenticationTokenException", 400, "Request is missing Authentication Token"},
		{Unsigned, EC2, "MissingParameter", 400, "The request must contain the parameter AWSAccessKeyId"},
		{ExpiredToken, Query, "ExpiredToken", 403, "The security token included in the request is expired"},
		{ExpiredToken, JSON, "ExpiredTokenException", 400, "The security token included in the request is expired"},
		{ExpiredToken, RESTJSON, "ExpiredTokenException", 403, "The security token included in the request is expired"},
		{ExpiredToken, EC2, "RequestExpired", 400, "Request has expired."},
		{Expired, EC2, "RequestExpired", 400, "Request has expired."},
	}
	for _, tt := range tests {
		e := refuse(tt.cause, "").In(tt.dialect)
		if e.Code != tt.code || e.Status != tt.status || e.Message != tt.message || e.Cause != tt.cause {
			t.Errorf("cause %d in dialect %d: %+v", tt.cause, tt.dialect, e)
		}
	}
	// Every cause is spelled in every dialect.
	for c := Ambiguous; c <= BadDigest; c++ {
		for d := Query; d <= S3; d++ {
			if e := refuse(c, "text").In(d); e.Code == "" || e.Status < 400 || e.Message == "" {
				t.Errorf("cause %d in dialect %d: %+v", c, d, e)
			}
		}
	}
	if !errors.Is(refuse(Unsigned, "").In(EC2), ErrUnsigned) {
		t.Error("an unsigned request is not recognised in another dialect")
	}
}

func TestClaimed(t *testing.T) {
	id, err := Claimed(parse(t, vanilla+auth+scope+", "+signed+", Signature=0"))
	if err != nil || id.Service != "service" || id.Region != "us-east-1" || id.AccessKeyID != suiteKey {
		t.Errorf("%+v, %v", id, err)
	}
	if _, err := Claimed(parse(t, vanilla)); !errors.Is(err, ErrUnsigned) {
		t.Error(err)
	}
}

func TestHostValues(t *testing.T) {
	for host, want := range map[string]string{
		"a.com": "a.com", "a.com:80": "a.com:80 a.com", "a.com:443": "a.com:443 a.com", "a.com:4566": "a.com:4566", "[::1]:80": "[::1]:80 [::1]",
	} {
		if got := strings.Join(hostValues(&http.Request{Host: host}), " "); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestCanonicalQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"":                       "",
		"b=2&a=1&b=1":            "a=1&b=1&b=2",
		"lifecycle":              "lifecycle=",
		"a=&=b&&":                "=b&a=",
		"a=b=c;d":                "a=b%3Dc%3Bd",
		"a+b=c%20d%2B":           "a%20b=c%20d%2B",
		"a-=1&a=2":               "a=2&a-=1", // by name, not by the whole text
		"%61=%7e":                "a=~",
		"A=1&a=2":                "A=1&a=2",
		"a=1&X-Amz-Signature=ff": "X-Amz-Signature=ff&a=1",
	} {
		params, err := parseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := canonicalQuery(params, false); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}
