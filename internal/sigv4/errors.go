package sigv4

import (
	"errors"
	"net/http"
)

// ErrUnsigned is matched (errors.Is) by the error of a request that carries no AWS
// signature at all. A few operations of STS are served to such requests.
var ErrUnsigned = errors.New("the request is not signed")

// ErrUnknownKey is what a key lookup returns for an access key that does not exist or
// is inactive. Any other error of a lookup is passed on as it is.
var ErrUnknownKey = errors.New("no such access key")

// Cause says why a request was refused, independently of how a service spells it.
type Cause int

// The causes, in the order in which a request is checked.
const (
	Ambiguous      Cause = iota + 1 // signed in the header and in the query
	Unsigned                        // no signature
	Incomplete                      // parts of the signature missing or malformed
	MalformedQuery                  // a query string that cannot be decoded
	TimeSkewed                      // date too far from the server's clock
	Expired                         // presigned, and past its X-Amz-Expires
	BadScope                        // credential scope of another date, region, terminator
	UnknownKey                      // no such access key, or inactive
	BadSignature                    // another signature was calculated
	UnsignedHeader                  // s3: an x-amz header is present but not signed
	BadToken                        // session token missing or not the key's
	ExpiredToken                    // the temporary credentials have expired
	BodyTooLarge                    // the body is larger than the server takes
	BadBody                         // the body ended early or is badly framed
	BadDigest                       // the body is not the one that was signed
)

// Dialect is the family of error codes that a service answers with.
type Dialect int

// The dialects. REST-XML services other than S3 use those of Query.
const (
	Query    Dialect = iota // awsQuery and restXml: iam, sts, autoscaling, route53 …
	EC2                     // ec2Query
	JSON                    // awsJson1.0, awsJson1.1, rpcv2Cbor: acm, ecr, cloudwatch …
	RESTJSON                // restJson1: eks
	S3                      // s3
)

// Error is a refused request. Code, Status and Message are those of the Query dialect;
// In gives another service's.
type Error struct {
	Cause   Cause
	Code    string // AWS error code
	Status  int    // HTTP status
	Message string // what the client may read, in AWS's words

	// CanonicalRequest and StringToSign are what the server calculated. They are set
	// for BadSignature only, hold nothing secret, and are meant for logs.
	CanonicalRequest, StringToSign string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Is lets errors.Is(err, ErrUnsigned) recognise an unsigned request.
func (e *Error) Is(target error) bool { return target == ErrUnsigned && e.Cause == Unsigned }

const (
	msgMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	msgToken        = "The security token included in the request is invalid."
	msgTokenExpired = "The security token included in the request is expired"
	msgMissing      = "Request is missing Authentication Token"
	msgAmbiguous    = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
	msgExpired      = "Request has expired."
	msgTooLarge     = "Request body is too large"
	msgEC2          = "AWS was not able to validate the provided access credentials"
)

type spelling struct {
	code    string
	status  int
	message string // "": the error's own
}

var queryCodes = map[Cause]spelling{
	Ambiguous:      {"SignatureDoesNotMatch", http.StatusForbidden, msgAmbiguous},
	Unsigned:       {"MissingAuthenticationToken", http.StatusForbidden, msgMissing},
	Incomplete:     {"IncompleteSignature", http.StatusBadRequest, ""},
	MalformedQuery: {"MalformedQueryString", http.StatusBadRequest, ""},
	TimeSkewed:     {"SignatureDoesNotMatch", http.StatusForbidden, ""},
	Expired:        {"RequestExpired", http.StatusBadRequest, msgExpired},
	BadScope:       {"SignatureDoesNotMatch", http.StatusForbidden, ""},
	UnknownKey:     {"InvalidClientTokenId", http.StatusForbidden, msgToken},
	BadSignature:   {"SignatureDoesNotMatch", http.StatusForbidden, msgMismatch},
	UnsignedHeader: {"AccessDenied", http.StatusForbidden, "There were headers present in the request which were not signed"},
	BadToken:       {"InvalidClientTokenId", http.StatusForbidden, msgToken},
	ExpiredToken:   {"ExpiredToken", http.StatusForbidden, msgTokenExpired},
	BodyTooLarge:   {"RequestEntityTooLarge", http.StatusRequestEntityTooLarge, msgTooLarge},
	BadBody:        {"IncompleteBody", http.StatusBadRequest, ""},
	BadDigest:      {"SignatureDoesNotMatch", http.StatusForbidden, msgMismatch},
}

var jsonCodes = map[Cause]spelling{
	Ambiguous:      {"InvalidSignatureException", http.StatusBadRequest, ""},
	Unsigned:       {"MissingAuthenticationTokenException", http.StatusBadRequest, ""},
	Incomplete:     {"IncompleteSignatureException", http.StatusBadRequest, ""},
	MalformedQuery: {"IncompleteSignatureException", http.StatusBadRequest, ""},
	TimeSkewed:     {"InvalidSignatureException", http.StatusBadRequest, ""},
	Expired:        {"InvalidSignatureException", http.StatusBadRequest, ""},
	BadScope:       {"InvalidSignatureException", http.StatusBadRequest, ""},
	UnknownKey:     {"UnrecognizedClientException", http.StatusBadRequest, ""},
	BadSignature:   {"InvalidSignatureException", http.StatusBadRequest, ""},
	UnsignedHeader: {"InvalidSignatureException", http.StatusBadRequest, ""},
	BadToken:       {"UnrecognizedClientException", http.StatusBadRequest, ""},
	ExpiredToken:   {"ExpiredTokenException", http.StatusBadRequest, ""},
	BodyTooLarge:   {"RequestEntityTooLargeException", http.StatusRequestEntityTooLarge, ""},
	BadBody:        {"SerializationException", http.StatusBadRequest, ""},
	BadDigest:      {"InvalidSignatureException", http.StatusBadRequest, ""},
}

// EC2 tells callers no more than that it could not authenticate them.
var ec2Codes = map[Cause]spelling{
	Ambiguous:      {"AuthFailure", http.StatusUnauthorized, msgEC2},
	Unsigned:       {"MissingParameter", http.StatusBadRequest, "The request must contain the parameter AWSAccessKeyId"},
	Incomplete:     {"AuthFailure", http.StatusUnauthorized, msgEC2},
	MalformedQuery: {"MalformedQueryString", http.StatusBadRequest, ""},
	TimeSkewed:     {"AuthFailure", http.StatusUnauthorized, msgEC2},
	Expired:        {"RequestExpired", http.StatusBadRequest, msgExpired},
	BadScope:       {"AuthFailure", http.StatusUnauthorized, msgEC2},
	UnknownKey:     {"AuthFailure", http.StatusUnauthorized, msgEC2},
	BadSignature:   {"AuthFailure", http.StatusUnauthorized, msgEC2},
	UnsignedHeader: {"AuthFailure", http.StatusUnauthorized, msgEC2},
	BadToken:       {"AuthFailure", http.StatusUnauthorized, msgEC2},
	ExpiredToken:   {"RequestExpired", http.StatusBadRequest, msgExpired},
	BodyTooLarge:   {"RequestEntityTooLarge", http.StatusRequestEntityTooLarge, ""},
	BadBody:        {"IncompleteBody", http.StatusBadRequest, ""},
	BadDigest:      {"AuthFailure", http.StatusUnauthorized, msgEC2},
}

var s3Codes = map[Cause]spelling{
	Ambiguous: {"InvalidArgument", http.StatusBadRequest, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, " +
		"Signature query string parameter or the Authorization header should be specified"},
	Unsigned:       {"AccessDenied", http.StatusForbidden, "Access Denied"},
	Incomplete:     {"AuthorizationHeaderMalformed", http.StatusBadRequest, ""},
	MalformedQuery: {"InvalidURI", http.StatusBadRequest, "Couldn't parse the specified URI."},
	TimeSkewed:     {"RequestTimeTooSkewed", http.StatusForbidden, "The difference between the request time and the current time is too large."},
	Expired:        {"AccessDenied", http.StatusForbidden, "Request has expired"},
	BadScope:       {"AuthorizationHeaderMalformed", http.StatusBadRequest, ""},
	UnknownKey:     {"InvalidAccessKeyId", http.StatusForbidden, "The AWS Access Key Id you provided does not exist in our records."},
	BadSignature: {"SignatureDoesNotMatch", http.StatusForbidden, "The request signature we calculated does not match the signature you provided. " +
		"Check your key and signing method."},
	UnsignedHeader: {"AccessDenied", http.StatusForbidden, ""},
	BadToken:       {"InvalidToken", http.StatusBadRequest, "The provided token is malformed or otherwise invalid."},
	ExpiredToken:   {"ExpiredToken", http.StatusBadRequest, "The provided token has expired."},
	BodyTooLarge:   {"EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed size"},
	BadBody:        {"IncompleteBody", http.StatusBadRequest, ""},
	BadDigest:      {"XAmzContentSHA256Mismatch", http.StatusBadRequest, "The provided 'x-amz-content-sha256' header does not match what was computed."},
}

// In returns e as a service of dialect d spells it: code, HTTP status and message are
// replaced, cause and diagnosis kept.
func (e *Error) In(d Dialect) *Error {
	table := queryCodes
	switch d {
	case EC2:
		table = ec2Codes
	case JSON, RESTJSON:
		table = jsonCodes
	case S3:
		table = s3Codes
	}
	s, ok := table[e.Cause]
	if !ok {
		return e
	}
	out := *e
	out.Code, out.Status = s.code, s.status
	if s.message != "" {
		out.Message = s.message
	}
	// REST-JSON services refuse a caller with 403, where the RPC protocols say 400.
	if d == RESTJSON && out.Status == http.StatusBadRequest && e.Cause != BadBody {
		out.Status = http.StatusForbidden
	}
	return &out
}

func refuse(c Cause, message string) *Error {
	s := queryCodes[c]
	if message == "" {
		message = s.message
	}
	return &Error{Cause: c, Code: s.code, Status: s.status, Message: message}
}
