package acm

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

// mailboxes are whose owner counts as the domain's.
//
// https://docs.aws.amazon.com/acm/latest/userguide/email-validation.html
var mailboxes = []string{"administrator", "hostmaster", "postmaster", "webmaster", "admin"}

// domains are the validations that a certificate with these names needs. By
// mail, options say for which name another domain's mailboxes are asked.
func (s *Service) domains(names []string, method acmapi.ValidationMethod, options map[string]string) []Domain {
	var all []Domain
	for _, name := range names {
		d := Domain{Name: name, Status: acmapi.DomainStatusPendingValidation, ValidationDomain: name}
		if method == acmapi.ValidationMethodDns {
			d.RecordName, d.RecordValue = record(s.scope.Account, name)
		} else {
			d.ValidationDomain = mailDomain(name)
			if domain := options[name]; domain != "" {
				d.ValidationDomain = domain
			}
		}
		all = append(all, d)
	}
	return all
}

// record is the CNAME record by which an account shows that a name is its own:
// the same each time, so that who has set it need not do so again, and for a
// wildcard that of its parent.
func record(account, name string) (string, string) {
	parent := strings.TrimPrefix(name, "*.")
	sum := sha256.Sum256([]byte("acm validation\x00" + account + "\x00" + parent))
	// AWS has a letters-only label before the suffix.
	zone := make([]byte, 10)
	for i := range zone {
		zone[i] = 'a' + sum[16+i]%26
	}
	other := sha256.Sum256(sum[:])
	return "_" + hex.EncodeToString(sum[:16]) + "." + parent + ".",
		"_" + hex.EncodeToString(other[:16]) + "." + string(zone) + ".acm-validations.aws."
}

// mailDomain is where ACM asks if nobody says otherwise.
func mailDomain(name string) string {
	name = strings.TrimPrefix(name, "*.")
	if rest, ok := strings.CutPrefix(name, "www."); ok && strings.Contains(rest, ".") {
		return rest
	}
	return name
}

// within says whether a name is the domain or below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// Mailboxes are the addresses that are asked about the domain.
func (d Domain) Mailboxes() []string {
	all := make([]string, len(mailboxes))
	for i, box := range mailboxes {
		all[i] = box + "@" + d.ValidationDomain
	}
	return all
}

// describe is how the API shows the validation.
func (d Domain) describe(method acmapi.ValidationMethod) acmapi.DomainValidation {
	out := acmapi.DomainValidation{
		DomainName: new(d.Name), ValidationDomain: new(d.ValidationDomain),
		ValidationStatus: d.Status, ValidationMethod: method,
	}
	if method == acmapi.ValidationMethodDns {
		out.ResourceRecord = &acmapi.ResourceRecord{Name: new(d.RecordName), Type: acmapi.RecordTypeCname, Value: new(d.RecordValue)}
	} else {
		out.ValidationEmails = d.Mailboxes()
	}
	return out
}

func describeDomains(domains []Domain, method acmapi.ValidationMethod) []acmapi.DomainValidation {
	out := []acmapi.DomainValidation{}
	for _, d := range domains {
		out = append(out, d.describe(method))
	}
	return out
}
