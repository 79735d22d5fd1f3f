package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden sends the requests in testdata/calls and compares the answers and
// the records. A file begins with who signs, "alice iam us-east-1", or with
// "unsigned"; lines with # are comments.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/calls/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t, nil)
	r := readRequest(t, a)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	got := &txtar.Archive{Comment: a.Comment, Files: []txtar.File{a.Files[0], {Name: "response", Data: f.dump(w)}}}
	for _, rec := range f.trail.all {
		got.Files = append(got.Files, txtar.File{Name: "trail", Data: f.scrub(indent(t, rec))})
	}
	text := txtar.Format(got)
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(txtar.Format(a)), string(text)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// readRequest makes the request of a golden file, signed as it says.
func readRequest(t *testing.T, a *txtar.Archive) *http.Request {
	head, body, _ := strings.Cut(string(a.Files[0].Data), "\n\n")
	body = strings.TrimSuffix(body, "\n")
	if body != "" {
		head += fmt.Sprintf("\nContent-Length: %d", len(body))
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body)))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.7:1234"
	for line := range strings.Lines(string(a.Comment)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] != "#" {
			sign(t, r, words[0], words[1], words[2], noon)
		}
	}
	return r
}

// dump is an answer as text, with what differs each time replaced.
func (f *fake) dump(w *httptest.ResponseRecorder) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\n", w.Code)
	var names []string
	for name := range w.Header() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name != "Content-Length" {
			fmt.Fprintf(&b, "%s: %s\n", name, w.Header().Get(name))
		}
	}
	b.WriteString("\n")
	body, _ := io.ReadAll(w.Body)
	if len(body) > 0 {
		b.Write(body)
		b.WriteString("\n")
	}
	return f.scrub(b.Bytes())
}

var requestID = regexp.MustCompile(`X-Amzn-Requestid: (\S+)`)

func (f *fake) scrub(b []byte) []byte {
	if w := requestID.FindSubmatch(b); w != nil && len(f.trail.all) == 0 { // it was not recorded
		b = bytes.ReplaceAll(b, w[1], []byte("REQUEST-ID"))
	}
	for _, r := range f.trail.all {
		b = bytes.ReplaceAll(b, []byte(r.RequestID), []byte("REQUEST-ID"))
	}
	if before, rest, ok := bytes.Cut(b, []byte("Encoded authorization failure message: ")); ok {
		end := bytes.IndexAny(rest, "<\"")
		b = slices.Concat(before, []byte("Encoded authorization failure message: ENCODED"), rest[end:])
	}
	return b
}

func indent(t *testing.T, v any) []byte {
	m := map[string]any{}
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(m, "additionalEventData") // the duration
	for k, v := range m {
		if v == "" || v == false && k != "readOnly" { // what the trail fills in
			delete(m, k)
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
