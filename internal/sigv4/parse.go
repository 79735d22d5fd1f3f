package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claim is what a request says of its own signature.
type claim struct {
	accessKeyID, date, region, service, terminator string

	signedHeaders []string
	signature     string
	time          time.Time
	stamp         string // time in timeFormat: part of what was signed
	token         string
	presigned     bool
	hasExpires    bool
	expires       time.Duration
	query         []param
}

func (c *claim) identity() Identity {
	return Identity{
		AccessKeyID: c.accessKeyID, Date: c.date, Region: c.region, Service: c.service,
		SignedAt: c.time, SignedHeaders: c.signedHeaders, Presigned: c.presigned, SessionToken: c.token,
	}
}

func (c *claim) signs(header string) bool { return slices.Contains(c.signedHeaders, header) }

func parseClaim(r *http.Request) (*claim, error) {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	header := r.Header.Get("Authorization")
	presigned := slices.ContainsFunc(query, func(p param) bool { return p.key == "X-Amz-Algorithm" })
	switch {
	case header != "" && presigned:
		return nil, refuse(Ambiguous, "")
	case presigned:
		return parsePresigned(query)
	case !strings.HasPrefix(header, "AWS4-"):
		return nil, refuse(Unsigned, "")
	}
	c, err := parseAuthorization(header, r.Header)
	if err != nil {
		return nil, err
	}
	c.query = query
	return c, nil
}

// parseAuthorization reads
//
//	AWS4-HMAC-SHA256 Credential=…/date/region/service/aws4_request, SignedHeaders=a;b, Signature=hex
//
// The commas may or may not be followed by spaces.
func parseAuthorization(value string, h http.Header) (*claim, error) {
	alg, rest, _ := strings.Cut(value, " ")
	var credential, signed, signature string
	var seen [3]bool
	for field := range strings.SplitSeq(rest, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		name, val, ok := strings.Cut(field, "=")
		if !ok {
			return nil, refuse(Incomplete, "'"+field+"' not a valid key=value pair (missing equal-sign) in Authorization header: '"+value+"'.")
		}
		var at int
		switch name {
		case "Credential":
			at, credential = 0, val
		case "Signature":
			at, signature = 1, val
		case "SignedHeaders":
			at, signed = 2, val
		default:
			continue
		}
		if seen[at] {
			return nil, refuse(Incomplete, "Authorization header has more than one '"+name+"' parameter. Authorization="+value)
		}
		seen[at] = true
	}
	var missing strings.Builder
	for i, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if !seen[i] {
			missing.WriteString("Authorization header requires '" + name + "' parameter. ")
		}
	}
	stamp, date := h.Get("X-Amz-Date"), h.Get("Date")
	if stamp == "" && date == "" {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() > 0 {
		return nil, refuse(Incomplete, missing.String()+"Authorization="+value)
	}
	c := &claim{signature: signature, token: h.Get("X-Amz-Security-Token")}
	if err := c.setTime(stamp, date); err != nil {
		return nil, err
	}
	if err := c.setScope(alg, credential, signed); err != nil {
		return nil, err
	}
	return c, nil
}

func parsePresigned(query []param) (*claim, error) {
	get := func(key string) string {
		for _, p := range query {
			if p.key == key {
				return p.value
			}
		}
		return ""
	}
	var missing strings.Builder
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		if get(name) == "" {
			missing.WriteString("AWS query-string parameters must include '" + name + "'. ")
		}
	}
	if missing.Len() > 0 {
		return nil, refuse(Incomplete, missing.String()+"Re-examine the query-string parameters.")
	}
	c := &claim{
		presigned: true, query: query,
		signature: get("X-Amz-Signature"), token: get("X-Amz-Security-Token"),
	}
	if err := c.setTime(get("X-Amz-Date"), ""); err != nil {
		return nil, err
	}
	if v := get("X-Amz-Expires"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		switch {
		case err != nil:
			return nil, refuse(Incomplete, "X-Amz-Expires should be a number")
		case n < 0:
			return nil, refuse(Incomplete, "X-Amz-Expires must be non-negative")
		case n > int64(MaxExpires/time.Second):
			return nil, refuse(Incomplete, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
		}
		c.hasExpires, c.expires = true, time.Duration(n)*time.Second
	}
	if err := c.setScope(get("X-Amz-Algorithm"), get("X-Amz-Credential"), get("X-Amz-SignedHeaders")); err != nil {
		return nil, err
	}
	return c, nil
}

// setTime takes X-Amz-Date, or else a Date header in ISO or HTTP format.
func (c *claim) setTime(stamp, date string) error {
	given := stamp
	if given == "" {
		given = date
	}
	t, err := time.Parse(timeFormat, given)
	if err != nil && stamp == "" {
		t, err = http.ParseTime(date)
	}
	if err != nil || t.Year() > 9999 {
		return refuse(Incomplete, "Date must be in ISO-8601 'basic format'. Got '"+given+"'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	c.time = t.UTC()
	c.stamp = c.time.Format(timeFormat)
	return nil
}

func (c *claim) setScope(alg, credential, signed string) error {
	if alg != algorithm {
		return refuse(Incomplete, "Unsupported AWS 'algorithm': '"+alg+"' (only AWS4-HMAC-SHA256 for now). ")
	}
	parts := strings.Split(strings.TrimRight(credential, "/"), "/")
	if len(parts) != 5 || parts[0] == "" {
		return refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '"+credential+"'")
	}
	c.accessKeyID, c.date, c.region, c.service, c.terminator = parts[0], parts[1], parts[2], parts[3], parts[4]
	c.signedHeaders = strings.Split(strings.ToLower(signed), ";")
	return nil
}

// param is one decoded parameter of a query string.
type param struct{ key, value string }

// parseQuery decodes a query string, keeping order and duplicates. Unlike url.ParseQuery
// it takes a semicolon as any other character.
func parseQuery(raw string) ([]param, error) {
	if raw == "" {
		return nil, nil
	}
	params := make([]param, 0, strings.Count(raw, "&")+1)
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err := unescape(k)
		if err != nil {
			return nil, err
		}
		value, err := unescape(v)
		if err != nil {
			return nil, err
		}
		params = append(params, param{key, value})
	}
	return params, nil
}

// unescape decodes percent-encoding, and "+" as a space.
func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", refuse(MalformedQuery, "Incomplete trailing escape % sequence")
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", refuse(MalformedQuery, "Illegal hex character in escape % pattern: %"+s[i+1:i+3])
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out), nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
