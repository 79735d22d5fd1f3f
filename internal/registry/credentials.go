package registry

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// user is whom Password is for.
const user = "AWS"

// layersPath is where signed addresses of layers lead.
const layersPath = "/layers/"

// Passwords and signatures are made with the secret kept in the registry's
// directory: they outlive the process, and nothing needs to remember them.
func (r *Registry) sign(purpose, text string, expires time.Time) []byte {
	mac := hmac.New(sha256.New, []byte(r.secret))
	fmt.Fprintf(mac, "%s\n%d\n%s", purpose, expires.Unix(), text)
	return mac.Sum(nil)
}

// Password returns a new password for the user AWS, good until expires (in
// seconds).
func (r *Registry) Password(expires time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	b = append(b, nonce...)
	return base64.RawURLEncoding.EncodeToString(append(b, r.sign("password", string(nonce), expires)...))
}

// passwordIsGood says whether it came from Password, and has not expired.
func (r *Registry) passwordIsGood(password string, now time.Time) bool {
	b, err := base64.RawURLEncoding.DecodeString(password)
	if err != nil || len(b) != 8+16+sha256.Size {
		return false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	return hmac.Equal(b[24:], r.sign("password", string(b[8:24]), expires)) && now.Before(expires)
}

// authenticate refuses credentials that are not good, in ECR's words. None are
// needed.
func (r *Registry) authenticate(w http.ResponseWriter, req *http.Request) bool {
	if req.Header.Get("Authorization") == "" {
		return true
	}
	name, password, ok := req.BasicAuth()
	if ok && name == user && r.passwordIsGood(password, time.Now()) {
		return true
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q,service=\"ecr.amazonaws.com\"", "http://"+req.Host+"/"))
	writeError(w, &wireError{http.StatusUnauthorized, "DENIED", "Your authorization token has expired. Reauthenticate and try again."})
	return false
}

// LayerPath is a path, with a query, at which the registry serves a layer of a
// repository until expires (in seconds), whether or not it asks for credentials
// elsewhere.
func (r *Registry) LayerPath(repository, digest string, expires time.Time) string {
	path := layersPath + repository + "/" + digest
	return path + "?" + url.Values{
		"expires":   {strconv.FormatInt(expires.Unix(), 10)},
		"signature": {base64.RawURLEncoding.EncodeToString(r.sign("layer", path, expires))},
	}.Encode()
}

// serveLayer answers at addresses from LayerPath.
func (r *Registry) serveLayer(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	seconds, err := strconv.ParseInt(query.Get("expires"), 10, 64)
	signature, err2 := base64.RawURLEncoding.DecodeString(query.Get("signature"))
	expires := time.Unix(seconds, 0)
	name, digest, ok := cutLast(strings.TrimPrefix(req.URL.Path, layersPath), "/")
	t, isPath := parsePath(target{name, "blobs", digest}.path())
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		writeError(w, &wireError{http.StatusMethodNotAllowed, "UNSUPPORTED", "layers are only read at this address"})
	case err != nil || err2 != nil || !ok || !isPath || !hmac.Equal(signature, r.sign("layer", req.URL.Path, expires)):
		writeError(w, &wireError{http.StatusForbidden, "DENIED", "the address is not signed as it should be"})
	case !time.Now().Before(expires):
		writeError(w, &wireError{http.StatusForbidden, "DENIED", "Request has expired"})
	default:
		req = withPath(req, t.path())
		req.URL.RawQuery = ""
		r.serveOwn(w, req, t, origin{})
	}
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
