package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// compiler builds static Go programs into dir.
type compiler struct {
	dir, arch string
}

// program returns a layer with the Go program pkg as /name.
func (c compiler) program(ctx context.Context, name, pkg, ldflags string) func() ([]file, error) {
	return func() ([]file, error) {
		out := filepath.Join(c.dir, name)
		// No build id and no revision: they change where the program does not.
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
			"-ldflags", strings.TrimSpace("-s -w -buildid= "+ldflags), "-o", out, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+c.arch)
		if msg, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w\n%s", pkg, err, msg)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		return []file{{path: name, mode: 0o755, content: content}}, nil
	}
}

// userland returns a layer with a shell and the usual commands: busybox with a
// link for each of them, users, and a /tmp.
func userland(ctx context.Context, arch string) ([]file, error) {
	const hint = "install the Debian package busybox-static"
	bin, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("busybox is not on the PATH: %s", hint)
	}
	content, err := os.ReadFile(bin)
	if err != nil {
		return nil, err
	}
	if err := checkStatic(content, arch); err != nil {
		return nil, fmt.Errorf("%s %w: %s", bin, err, hint)
	}
	list, err := exec.CommandContext(ctx, bin, "--list-full").Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its commands: %w", bin, err)
	}
	files := []file{
		{path: "bin/busybox", mode: 0o755, content: content},
		{path: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")},
		{path: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{path: "root/", mode: 0o700},
		{path: "tmp/", mode: 0o1777},
	}
	for applet := range strings.FieldsSeq(string(list)) {
		if applet == "bin/busybox" || path.Dir(applet) == "." {
			continue // itself, and linuxrc
		}
		files = append(files, file{path: applet, link: "/bin/busybox"})
	}
	return files, nil
}

// checkStatic says what keeps an executable from running in an image of its own.
func checkStatic(content []byte, arch string) error {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("is not an ELF executable (%w)", err)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	want, ok := machines[arch]
	if !ok {
		return fmt.Errorf("cannot be checked for GOARCH=%s: only amd64 and arm64 are known", arch)
	}
	if f.Machine != want {
		return fmt.Errorf("is for %s, not for GOARCH=%s", f.Machine, arch)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("needs shared libraries")
		}
	}
	return nil
}
