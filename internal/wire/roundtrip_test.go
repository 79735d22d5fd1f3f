package wire

import (
	"encoding/json"
	"encoding/xml"
	"testing"
)

func unquoteJSON(t *testing.T, quoted string) string {
	t.Helper()
	var s string
	if err := json.Unmarshal([]byte(quoted), &s); err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	return s
}

func unmarshalXML(t *testing.T, text string) {
	t.Helper()
	var a struct {
		Text string `xml:",chardata"`
	}
	if err := xml.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}
