package issuing

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/service/acm"
)

// Message is a mail.
type Message struct {
	ID      string // unique; without angle brackets
	From    string
	To      []string
	Subject string
	Date    time.Time
	Body    string // plain text
}

// mail asks a domain's mailboxes for their approval.
func (t *tender) mail(ctx context.Context, c acm.Certificate, d acm.Domain) (item, error) {
	if err := t.Mailer.Send(ctx, t.message(c, d)); err != nil {
		return item{}, err
	}
	t.Logger.Info("asked the domain's mailboxes to approve a certificate", "certificate", t.ACM.ARN(c.ID), "domain", d.Name, "mailboxes", d.Mailboxes())
	// If this fails they get a second mail, whose link is as good as the first's.
	return t.ACM.Mailed(ctx, c.ID, d.Name)
}

func (t *tender) message(c acm.Certificate, d acm.Domain) Message {
	now := t.now()
	expires, subject, what := now.Add(validationTime), "Certificate request for "+d.Name, "We have received a request to issue an SSL/TLS certificate for"
	if c.Status == acmapi.CertificateStatusIssued {
		expires, subject, what = c.Material.NotAfter, "Action required: your certificate for "+d.Name+" is to be renewed", "It is time to renew the SSL/TLS certificate for"
	}
	certificate := t.ACM.ARN(c.ID)
	scope := strings.Split(certificate, ":") // arn:partition:acm:region:account:…
	return Message{
		ID:      fmt.Sprintf("%s.%s.%d@acm.%s", c.ID, strings.TrimPrefix(d.Name, "*."), now.UnixNano(), scope[3]),
		From:    "Certificates <no-reply@acm." + scope[3] + ".tarn.invalid>",
		To:      d.Mailboxes(),
		Subject: subject,
		Date:    now,
		Body: "Greetings,\n\n" + what + " " + d.Name + ".\n\n" +
			"Verify that the following domain, AWS account number, and certificate identifier correspond\n" +
			"to a request from you or someone in your organization.\n\n" +
			"Domain: " + d.Name + "\n" +
			"AWS account number: " + scope[4] + "\n" +
			"AWS Region name: " + scope[3] + "\n" +
			"Certificate identifier: " + certificate + "\n\n" +
			"To approve this request, open this page and follow the instructions on it:\n\n" +
			strings.TrimSuffix(t.Endpoint, "/") + t.ACM.ApprovalLink(c.ID, d, expires) + "\n\n" +
			"The link is valid until " + expires.UTC().Format(time.RFC1123) + ". If you did not expect this mail, do nothing:\n" +
			"the certificate is not issued then.\n",
	}
}

// Directory is the Mailer that writes each mail into a file, *.eml, of a
// directory that stands for the mailboxes.
type Directory string

// Send implements Mailer. Who can read the file can approve the certificate: it
// is the owner's alone.
func (dir Directory) Send(_ context.Context, m Message) error {
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return fmt.Errorf("making the directory of mails: %w", err)
	}
	name := filepath.Join(string(dir), fileName(m))
	if err := os.WriteFile(name+".tmp", m.encode(), 0o600); err != nil {
		return fmt.Errorf("writing a mail: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("putting a mail in place: %w", err)
	}
	return nil
}

// fileName sorts by time, and has nothing in it that means something in a path.
func fileName(m Message) string {
	id := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '_'
	}, m.ID)
	return m.Date.UTC().Format("20060102T150405.000Z") + "-" + id[:min(len(id), 180)] + ".eml"
}

// encode writes the mail as RFC 5322 says.
func (m Message) encode() []byte {
	var out bytes.Buffer
	for _, h := range [][2]string{
		{"From", m.From},
		{"To", strings.Join(m.To, ",\r\n ")},
		{"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", m.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700")},
		{"Message-ID", "<" + m.ID + ">"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "8bit"}, // so that people find the link whole
	} {
		out.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	out.WriteString("\r\n")
	out.WriteString(strings.ReplaceAll(m.Body, "\n", "\r\n"))
	return out.Bytes()
}
