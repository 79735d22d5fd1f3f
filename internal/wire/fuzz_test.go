package wire

import (
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

var nan = math.NaN()

// parse checks what holds for any request: it is read or refused with an error
// of the client's making, and both can be answered.
func parse(t *testing.T, service string, r *http.Request) {
	req, err := services[service].Parse(r)
	w := httptest.NewRecorder()
	if err != nil {
		if err := req.Protocol.WriteError(w, err, "id"); err != nil {
			t.Fatal(err)
		}
		if w.Code < 400 || w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Fatalf("status %d for %v", w.Code, err)
		}
		return
	}
	if req.Op == nil || req.Input == nil {
		t.Fatalf("no error, and no input: %+v", req)
	}
	// An input has the same kinds of members as an output.
	if err := req.Protocol.WriteOutput(w, req.Op, req.Input, "id"); err != nil {
		t.Fatal(err)
	}
}

func post(body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func FuzzAWSQuery(f *testing.F) {
	f.Fuzz(func(t *testing.T, body string) {
		for _, service := range []string{"iam", "cloudwatch"} {
			parse(t, service, post(body, "Content-Type", "application/x-www-form-urlencoded"))
		}
	})
}

func FuzzEC2Query(f *testing.F) {
	f.Fuzz(func(t *testing.T, body string) {
		parse(t, "ec2", post(body))
	})
}

func FuzzJSON(f *testing.F) {
	f.Fuzz(func(t *testing.T, operation, body string) {
		parse(t, "ecr", post(body, "X-Amz-Target", "X."+operation))
		parse(t, "cloudwatch", post(body, "X-Amz-Target", "X."+operation))
	})
}

func FuzzCBOR(f *testing.F) {
	f.Fuzz(func(t *testing.T, operation string, body []byte) {
		r := post(string(body), "Smithy-Protocol", "rpc-v2-cbor")
		r.URL.Path = "/service/GraniteServiceVersion20100801/operation/" + operation
		parse(t, "cloudwatch", r)
	})
}

// FuzzREST is for paths and queries with the bodies of restJson1 and restXml.
func FuzzREST(f *testing.F) {
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Skip()
		}
		for _, service := range []string{"eks", "route53"} {
			r := post(body)
			r.Method, r.URL = method, u
			parse(t, service, r)
		}
	})
}

// FuzzText checks that any text can be written, and is read as it was if the
// format can carry it.
func FuzzText(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		quoted := string(appendJSONString(nil, text))
		if got := unquoteJSON(t, quoted); got != strings.ToValidUTF8(text, "\uFFFD") && strings.ToValidUTF8(text, "") == text {
			t.Fatalf("%q became %q", text, got)
		}
		unmarshalXML(t, "<a>"+string(appendText(nil, text))+"</a>")
	})
}
