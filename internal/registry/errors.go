package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
)

// wireError is an error as the distribution specification has it, with the
// HTTP status it travels with.
//
// The status decides what a person reads. containerd resolves a tag with HEAD,
// whose answer has no body; only after a 403 does it ask again with GET and show
// the code and the message (core/remotes/docker, withGETErrorBody). A 404 it
// shows as "not found", a 429 or 5xx it repeats and then shows as a bare status.
// So what keeps an image from being pulled through, and needs words, is a 403.
type wireError struct {
	status  int
	code    string
	message string
}

func (e *wireError) Error() string {
	return fmt.Sprintf("%s: %s", strings.ToLower(e.code), e.message)
}

// ociError is one error in a body.
type ociError struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Detail  json.RawMessage `json:"detail,omitempty"`
}

type ociErrors struct {
	Errors []ociError `json:"errors"`
}

func writeError(w http.ResponseWriter, e *wireError) {
	writeErrors(w, e.status, []ociError{{Code: e.code, Message: e.message}})
}

func writeErrors(w http.ResponseWriter, status int, errs []ociError) {
	body, err := json.Marshal(ociErrors{errs})
	if err != nil { // a detail that is not JSON
		body = []byte(`{"errors":[]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left gets nothing
}

// rewriter holds back the error responses of the distribution library, so that
// they can be put in ECR's words; anything else passes.
type rewriter struct {
	http.ResponseWriter
	sent   bool // the header of a response that passes
	status int  // 0 unless an error response is held back
	body   bytes.Buffer
}

func (w *rewriter) WriteHeader(status int) {
	if w.sent || w.status != 0 {
		return // the library writes its error once more than it should
	}
	if status >= 400 && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		w.status = status
		return
	}
	w.sent = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *rewriter) Write(p []byte) (int, error) {
	if w.status != 0 {
		return w.body.Write(p)
	}
	w.sent = true
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *rewriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// finish sends what was held back.
func (w *rewriter) finish(rewrite func(status int, errs []ociError) (int, []ociError)) {
	if w.status == 0 {
		return
	}
	// Where two errors were written, the first counts.
	var body ociErrors
	if err := json.NewDecoder(&w.body).Decode(&body); err != nil {
		body.Errors = []ociError{{Code: "UNKNOWN", Message: http.StatusText(w.status)}}
	}
	status, errs := rewrite(w.status, body.Errors)
	writeErrors(w.ResponseWriter, status, errs)
}

// missing says what a 404 is about.
type missing struct {
	repository, account string
	exists              func() bool // the repository
}

func (m missing) error() *wireError {
	return &wireError{http.StatusNotFound, "NAME_UNKNOWN", fmt.Sprintf(
		"The repository with name '%s' does not exist in the registry with id '%s'", m.repository, m.account)}
}

// inECRsWords gives errors the wording that users know from ECR, and a full
// disk a status and a message of its own.
func inECRsWords(m missing, dir string) func(int, []ociError) (int, []ociError) {
	return func(status int, errs []ociError) (int, []ociError) {
		for i, e := range errs {
			switch {
			case e.Code == "NAME_UNKNOWN", e.Code == "MANIFEST_UNKNOWN" && e.Message == "manifest unknown" && !m.exists():
				e := m.error()
				errs[i], status = ociError{Code: e.code, Message: e.message}, e.status
			case e.Code == "MANIFEST_UNKNOWN" && e.Message == "manifest unknown":
				errs[i] = ociError{Code: e.Code, Message: "Requested image not found"}
			case diskFull(e.Detail):
				errs[i] = ociError{Code: "UNKNOWN", Message: fmt.Sprintf(
					"the disk that holds the region's images (%s) is full: free some space and push again", dir)}
				status = http.StatusInsufficientStorage
			}
		}
		return status, errs
	}
}

// diskFull recognizes a full disk, or a quota used up, in an error's detail,
// which is a text or a *fs.PathError whose errno became a number.
func diskFull(detail json.RawMessage) bool {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if bytes.Contains(detail, []byte(errno.Error())) || bytes.Contains(detail, fmt.Appendf(nil, `"Err":%d`, int(errno))) {
			return true
		}
	}
	return false
}
