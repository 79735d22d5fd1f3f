package acm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/google/uuid"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/store"
)

// ApprovalPath is where Approval is to be served.
const ApprovalPath = "/_tarn/acm/approve"

// approval is what a link in a validation mail stands for.
type approval struct {
	id      string
	about   [16]byte // digest of the domain and whose mailboxes were asked
	expires time.Time
}

// approvalSize is that of an encoded approval: the ID, when it expires, about.
const approvalSize = 16 + 8 + 16

// ApprovalLink is the path and query by which whoever reads the domain's mail
// approves the certificate, until it expires. Nobody can guess it.
func (s *Service) ApprovalLink(id string, d Domain, expires time.Time) string {
	u, err := uuid.Parse(id)
	if err != nil {
		panic("acm: a certificate's ID is no UUID: " + id) // New makes no others
	}
	about := d.digest()
	data := append(binary.BigEndian.AppendUint64(u[:], uint64(expires.Unix())), about[:]...)
	return ApprovalPath + "?token=" + base64.RawURLEncoding.EncodeToString(append(data, s.sign(data)...))
}

func (d Domain) digest() [16]byte {
	sum := sha256.Sum256([]byte(d.Name + "\x00" + d.ValidationDomain))
	return [16]byte(sum[:16])
}

func (s *Service) sign(data []byte) []byte {
	mac := hmac.New(sha256.New, s.linkKey)
	mac.Write(data)
	return mac.Sum(nil)
}

// approval reads a token; it is false if the token was not made here.
func (s *Service) approval(token string) (approval, bool) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(data) != approvalSize+sha256.Size || !hmac.Equal(data[approvalSize:], s.sign(data[:approvalSize])) {
		return approval{}, false
	}
	return approval{
		id:      uuid.UUID(data[:16]).String(),
		expires: time.Unix(int64(binary.BigEndian.Uint64(data[16:24])), 0),
		about:   [16]byte(data[24:approvalSize]),
	}, true
}

var errNotPending = errors.New("nothing to approve")

// Approval is the page that the links in validation mails lead to. Reading it
// approves nothing, as mail programs read links by themselves.
func (s *Service) Approval() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
			h.Set("Allow", "GET, HEAD, POST")
			show(w, http.StatusMethodNotAllowed, view{Problem: "This page is read or submitted, nothing else."})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		token := r.FormValue("token")
		a, ok := s.approval(token)
		if !ok {
			show(w, http.StatusBadRequest, view{Problem: "The link is not complete. Open it as it is in the mail."})
			return
		}
		v := view{Account: s.scope.Account, Region: s.scope.Region, ARN: s.ARN(a.id), Token: token}
		if s.now().After(a.expires) {
			v.Problem = "The link has expired. Request the certificate again, or have the mail sent again."
			show(w, http.StatusGone, v)
			return
		}
		var err error
		if v.Done = r.Method == http.MethodPost; v.Done {
			_, err = s.Certificates.Modify(r.Context(), a.id, func(c *Certificate) error {
				if v.Domain = c.awaits(a); v.Domain == "" {
					return errNotPending
				}
				c.shown([]string{v.Domain}, s.time())
				return nil
			})
		} else {
			var it store.Item[Certificate]
			if it, err = s.Certificates.Get(r.Context(), a.id); err == nil {
				if v.Domain = it.Value.awaits(a); v.Domain == "" {
					err = errNotPending
				}
			}
		}
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, errNotPending):
			v.Done, v.Problem = false, "There is nothing to approve: the certificate is approved already, has timed out, or was deleted."
			show(w, http.StatusGone, v)
		case err != nil:
			v.Done, v.Problem = false, "The region cannot look up the certificate now. Try again."
			show(w, http.StatusServiceUnavailable, v)
		default:
			show(w, http.StatusOK, v)
		}
	})
}

// awaits is the domain for which the certificate waits for this approval, or "".
func (c *Certificate) awaits(a approval) string {
	if c.Method == acmapi.ValidationMethodEmail {
		for _, d := range c.pending() {
			if d.Status == acmapi.DomainStatusPendingValidation && d.digest() == a.about {
				return d.Name
			}
		}
	}
	return ""
}

type view struct {
	Domain, Account, Region, ARN, Token, Problem string
	Done                                         bool
}

func show(w http.ResponseWriter, status int, v view) {
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, v) // the reader has gone
}

var pageTemplate = template.Must(template.New("approve").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Certificate approval</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 42rem; padding: 0 1rem; }
dt { color: #555; } dd { margin: 0 0 .75rem; overflow-wrap: anywhere; }
button { font: inherit; padding: .5rem 1.5rem; }
</style>
</head>
<body>
<h1>Certificate approval</h1>
{{if .ARN}}<dl>
{{if .Domain}}<dt>Domain name</dt><dd>{{.Domain}}</dd>{{end}}
<dt>AWS account number</dt><dd>{{.Account}}</dd>
<dt>AWS Region</dt><dd>{{.Region}}</dd>
<dt>Certificate identifier</dt><dd>{{.ARN}}</dd>
</dl>{{end}}
{{if .Problem}}<p role="alert">{{.Problem}}</p>
{{else if .Done}}<p role="status">Approved. The certificate for {{.Domain}} is issued as soon as all its names are approved.</p>
{{else}}<p>Someone has requested a certificate for {{.Domain}}. Approve it only if you are, or speak for, the owner of this domain.</p>
<form method="post"><input type="hidden" name="token" value="{{.Token}}"><button type="submit">I approve</button></form>
{{end}}</body>
</html>
`))
