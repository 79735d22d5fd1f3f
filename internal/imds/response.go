package imds

import (
	"fmt"
	"net/http"
	"strconv"
)

// response is an answer before it is written. Every response ends its connection, as on AWS.
type response struct {
	document
	status       int
	tokenSeconds string // what is left of the token's time, when there is one
	allow        string // the methods, where the question was about methods
}

// page is an error with AWS's page as its body. Answers about the token (401, 403, 405) have none.
func page(status int) response {
	title := fmt.Sprintf("%d - %s", status, http.StatusText(status))
	return response{status: status, document: document{
		contentType: "text/html",
		body: []byte(`<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>` + title + `</title>
 </head>
 <body>
  <h1>` + title + `</h1>
 </body>
</html>
`),
	}}
}

func (res response) write(w http.ResponseWriter) {
	head := w.Header()
	head.Set("Server", "EC2ws")
	head.Set("Connection", "close")
	head.Set("Content-Length", strconv.Itoa(len(res.body)))
	head.Set("Content-Type", "text/plain")
	if res.contentType != "" {
		head.Set("Content-Type", res.contentType)
	}
	if res.allow != "" {
		head.Set("Allow", res.allow)
	}
	if res.tokenSeconds != "" {
		head.Set(ttlHeader, res.tokenSeconds)
	}
	if !res.modified.IsZero() {
		head.Set("Accept-Ranges", "none")
		head.Set("Last-Modified", res.modified.UTC().Format(http.TimeFormat))
	}
	w.WriteHeader(res.status)
	_, _ = w.Write(res.body) // a client that went away is no error of ours
}
