package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// fetchProgram is `fetch [-in PID] [-ca FILE] [-at ADDRESS] [-post] [-headers]
// URL` in the scripts: one HTTP GET, or a POST of nothing that may take minutes,
// from inside a process's network if told so, to another address than the URL's
// if told so. It prints status and body.
func fetchProgram() {
	in := flag.Int("in", 0, "the process whose network namespace to use")
	ca := flag.String("ca", "", "the only CA to trust")
	at := flag.String("at", "", "where to connect to, in place of the URL's host: an address, with or without a port")
	post := flag.Bool("post", false, "POST instead of GET")
	headers := flag.Bool("headers", false, "print the response's header, too")
	flag.Parse()
	method, timeout := http.MethodGet, 20*time.Second
	if *post {
		method, timeout = http.MethodPost, 5*time.Minute
	}
	if err := fetch(*in, *ca, *at, method, flag.Arg(0), timeout, *headers); err != nil {
		fail(err)
	}
}

func fetch(in int, ca, at, method, url string, timeout time.Duration, headers bool) error {
	transport, err := transportOf(ca, at, func() error { return enterNetwork(in) })
	if err != nil {
		return err
	}
	client := http.Client{Transport: transport, Timeout: timeout}
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	if headers {
		if err := response.Header.Write(os.Stdout); err != nil {
			return err
		}
		fmt.Println()
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// transportOf makes a client's transport that trusts one CA only, connects to
// another address than its URLs say, and calls enter before.
func transportOf(ca, at string, enter func() error) (*http.Transport, error) {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if err := enter(); err != nil {
				return nil, err
			}
			if host, _, err := net.SplitHostPort(at); err == nil && host != "" {
				address = at
			} else if at != "" {
				_, port, _ := net.SplitHostPort(address)
				address = net.JoinHostPort(at, port)
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", ca)
		}
	}
	return transport, nil
}

// enterNetwork puts this goroutine's thread into a process's network namespace,
// for good.
func enterNetwork(pid int) error {
	if pid == 0 {
		return nil
	}
	runtime.LockOSThread()
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network of process %d: %w", pid, err)
	}
	return nil
}

// listenProgram is `listen [-in PID] ADDRESS` in the scripts: a program that has
// a port, in a process's network if told so.
func listenProgram() {
	in := flag.Int("in", 0, "the process whose network namespace to use")
	flag.Parse()
	if err := enterNetwork(*in); err != nil {
		fail(err)
	}
	l, err := net.Listen("tcp", flag.Arg(0))
	if err != nil {
		fail(err)
	}
	fmt.Println("listening on", l.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			fail(err)
		}
		_ = conn.Close()
	}
}

// reachProgram is `reach [-in PID] ADDRESS` in the scripts: it prints whether a
// TCP connection can be made: yes, refused, or no answer.
func reachProgram() {
	in := flag.Int("in", 0, "the process whose network namespace to use")
	flag.Parse()
	if err := enterNetwork(*in); err != nil {
		fail(err)
	}
	// A packet that is lost is sent again after a second.
	conn, err := net.DialTimeout("tcp", flag.Arg(0), 700*time.Millisecond)
	var timeout net.Error
	switch {
	case err == nil:
		fmt.Println("yes")
		_ = conn.Close()
	case errors.Is(err, unix.ECONNREFUSED):
		fmt.Println("refused")
	case errors.As(err, &timeout) && timeout.Timeout():
		fmt.Println("no answer")
	default:
		fail(err)
	}
}

// isolatedProgram is `isolated PROGRAM [ARG...]` in the scripts: the program
// runs on a network that has nothing but a loopback.
func isolatedProgram() {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		fail(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		fail(err)
	}
	program, err := exec.LookPath(os.Args[1])
	if err == nil {
		err = unix.Exec(program, os.Args[1:], os.Environ())
	}
	fail(err)
}

// imageProgram is `image push BASE REFERENCE` and `image save BASE REFERENCE
// FILE` in the scripts: an image with the file /greeting, which holds the
// reference, on top of one in a registry. `image program NAME REFERENCE` pushes
// an image that runs one of the programs here.
func imageProgram() {
	if err := makeImage(os.Args[1:]); err != nil {
		fail(err)
	}
}

func makeImage(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: image push BASE REFERENCE | image save BASE REFERENCE FILE | image program NAME REFERENCE")
	}
	if args[0] == "program" {
		return pushSelf(args[1], args[2])
	}
	base, err := name.ParseReference(args[1])
	if err != nil {
		return err
	}
	img, err := remote.Image(base)
	if err != nil {
		return fmt.Errorf("pulling %s: %w", base, err)
	}
	layer, err := fileLayer("greeting", 0o644, []byte(args[2]))
	if err != nil {
		return err
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return err
	}
	tag, err := name.NewTag(args[2])
	if err != nil {
		return err
	}
	switch {
	case args[0] == "push":
		return remote.Write(tag, img)
	case args[0] == "save" && len(args) == 4:
		return tarball.WriteToFile(args[3], tag, img)
	default:
		return fmt.Errorf("no such command: image %s", strings.Join(args, " "))
	}
}

// fileLayer is a layer with one file.
func fileLayer(name string, mode int64, content []byte) (v1.Layer, error) {
	var file bytes.Buffer
	w := tar.NewWriter(&file)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(file.Bytes())), nil
	})
}
