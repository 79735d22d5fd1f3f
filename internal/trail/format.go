package trail

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Format is a record for people, on one line whose columns are those of all
// others: time, who, service and operation, result, duration.
func Format(r Record, zone *time.Location) string {
	service, _, _ := strings.Cut(r.EventSource, ".")
	result := "ok"
	if r.ErrorCode != "" {
		result = strings.TrimPrefix(strings.TrimPrefix(r.ErrorCode, "Client."), "Server.")
	}
	return fmt.Sprintf("%s  %s  %s  %s %9.1f ms",
		r.EventTime.In(zone).Format(time.DateTime),
		column(Who(r.UserIdentity), 32), column(service+"."+r.EventName, 36), column(result, 28),
		r.AdditionalEventData.DurationMilliseconds)
}

// Who is an identity in few words: root, alice, node-role/i-0123, eks.amazonaws.com.
func Who(u Identity) string {
	switch u.Type {
	case "Root":
		return "root"
	case "AssumedRole":
		if _, session, ok := strings.Cut(u.ARN, ":assumed-role/"); ok {
			return session
		}
	case "AWSService":
		return u.InvokedBy
	}
	for _, s := range []string{u.UserName, u.ARN, u.AccessKeyID} {
		if s != "" {
			return s
		}
	}
	return "anonymous"
}

// column makes s as wide as n characters. What a terminal would take for more
// than a character is replaced: callers choose some of the names.
func column(s string, n int) string {
	out := make([]rune, 0, n)
	for _, r := range s {
		if !unicode.IsPrint(r) {
			r = '?'
		}
		out = append(out, r)
	}
	if len(out) > n {
		out = append(out[:n-1], '…')
	}
	for len(out) < n {
		out = append(out, ' ')
	}
	return string(out)
}
