package main

import (
	"fmt"
	"os"
)

// authorities returns a layer with the certificate authorities that this machine
// trusts, for programs that talk to the world.
func authorities() ([]file, error) {
	const path = "etc/ssl/certs/ca-certificates.crt"
	content, err := os.ReadFile("/" + path)
	if err != nil {
		return nil, fmt.Errorf("%w: install the Debian package ca-certificates", err)
	}
	return []file{{path: path, mode: 0o644, content: content}}, nil
}
