package registry

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// do sends a request to h over a real connection.
func do(t *testing.T, h http.Handler, method, url, body string) (*http.Response, string) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	req, err := http.NewRequest(method, s.URL+url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(got)
}

// TestUploadSurvivesRestart cuts a connection in the middle of a PATCH, opens
// the registry anew over the same directory, and goes on where it stopped.
func TestUploadSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	const sent = 100_000

	first, err := New(Config{Dir: dir, Logger: slog.New(slog.DiscardHandler), Transport: noNetwork{}})
	if err != nil {
		t.Fatal(err)
	}
	resp, _ := do(t, first, "POST", "/v2/x/blobs/uploads/", "")
	if resp.StatusCode != 202 {
		t.Fatalf("POST: %s", resp.Status)
	}
	location := resp.Header.Get("Location")

	s := httptest.NewServer(first)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s",
		location, len(content), content[:sent])
	// Half of the connection is closed: the server has read what was sent
	// once it answers.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, _ = http.ReadResponse(bufio.NewReader(conn), nil)
	conn.Close()
	s.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := open(t, Config{Dir: dir})
	resp, body := do(t, second, "GET", location, "")
	m := regexp.MustCompile(`^0-(\d+)$`).FindStringSubmatch(resp.Header.Get("Range"))
	if resp.StatusCode != 204 || m == nil {
		t.Fatalf("status of the upload: %s %s, Range %q", resp.Status, body, resp.Header.Get("Range"))
	}
	var last int
	fmt.Sscan(m[1], &last)
	if last+1 != sent {
		t.Fatalf("%d bytes arrived, sent %d", last+1, sent)
	}
	resp, body = do(t, second, "PATCH", resp.Header.Get("Location"), content[last+1:])
	if resp.StatusCode != 202 {
		t.Fatalf("PATCH: %s %s", resp.Status, body)
	}
	resp, body = do(t, second, "PUT", resp.Header.Get("Location")+"&digest="+digestOf(content), "")
	if resp.StatusCode != 201 {
		t.Fatalf("PUT: %s %s", resp.Status, body)
	}
	if resp, body = do(t, second, "GET", "/v2/x/blobs/"+digestOf(content), ""); body != content {
		t.Errorf("GET: %s, %d bytes", resp.Status, len(body))
	}
}

func TestWrongDigestIsRefused(t *testing.T) {
	r := open(t, Config{})
	resp, _ := do(t, r, "POST", "/v2/x/blobs/uploads/", "")
	resp, body := do(t, r, "PUT", resp.Header.Get("Location")+"&digest="+digestOf("this"), "that")
	if resp.StatusCode != 400 || !strings.Contains(body, "DIGEST_INVALID") {
		t.Errorf("%s %s", resp.Status, body)
	}
	for _, content := range []string{"this", "that"} {
		if resp, _ := do(t, r, "GET", "/v2/x/blobs/"+digestOf(content), ""); resp.StatusCode != 404 {
			t.Errorf("%s was stored: %s", content, resp.Status)
		}
	}
}

func TestForgedUploadIsRefused(t *testing.T) {
	r := open(t, Config{})
	resp, _ := do(t, r, "POST", "/v2/x/blobs/uploads/", "")
	other := open(t, Config{}) // has another secret
	resp, body := do(t, other, "PATCH", resp.Header.Get("Location"), "x")
	if resp.StatusCode < 400 || !strings.Contains(body, "BLOB_UPLOAD_INVALID") {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestFullDisk makes the kernel refuse to write: the upload's file is a link to
// /dev/full.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this machine has no /dev/full")
	}
	dir := t.TempDir()
	r := open(t, Config{Dir: dir})
	resp, _ := do(t, r, "POST", "/v2/x/blobs/uploads/", "")
	data := filepath.Join(dir, "docker/registry/v2/repositories/x/_uploads", resp.Header.Get("Docker-Upload-UUID"), "data")
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", data); err != nil {
		t.Fatal(err)
	}
	resp, body := do(t, r, "PATCH", resp.Header.Get("Location"), strings.Repeat("x", 1<<20))
	if resp.StatusCode != 507 || !strings.Contains(body, dir) || !strings.Contains(body, "full") {
		t.Errorf("%s %s", resp.Status, body)
	}
}
