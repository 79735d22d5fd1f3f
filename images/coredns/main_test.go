package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestMain lets tests run main in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("COREDNS_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	main()
}

func coredns(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "COREDNS_TEST_CHILD=1")
	return cmd
}

func TestPlugins(t *testing.T) {
	out, err := coredns("-plugins").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Those of the EKS add-on's Corefile, which needs an API server to start.
	for _, plugin := range []string{"errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop", "reload", "loadbalance"} {
		if !strings.Contains("\n"+string(out), "\n"+plugin+"\n") {
			t.Errorf("no plugin %s", plugin)
		}
	}
}

// TestServes starts CoreDNS with what people add to an EKS Corefile, and asks.
func TestServes(t *testing.T) {
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	corefile := filepath.Join(t.TempDir(), "Corefile")
	content := fmt.Sprintf(`(shared) {
    errors
    log
    cache 30
}
.:%s {
    import shared
    bind 127.0.0.1
    acl {
        allow net 127.0.0.0/8
    }
    rewrite name alias.example db.example
    hosts {
        10.1.2.3 db.example
        fallthrough
    }
    template IN A made.example {
        answer "{{ .Name }} 60 IN A 10.9.9.9"
    }
    forward . 127.0.0.1:1
    loadbalance
    minimal
    bufsize 1232
}
`, port)
	if err := os.WriteFile(corefile, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := coredns("-conf", corefile)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-exited; err != nil {
			t.Errorf("coredns ended with %v:\n%s", err, &output)
		}
	}()

	for name, want := range map[string]string{"db.example.": "10.1.2.3", "alias.example.": "10.1.2.3", "made.example.": "10.9.9.9"} {
		reply := ask(t, addr, name, exited)
		if len(reply.Answer) != 1 || !strings.HasSuffix(reply.Answer[0].String(), want) {
			t.Errorf("%s: %v", name, reply)
		}
	}
	if reply := ask(t, addr, "elsewhere.example.", exited); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("with no upstream: %v", reply)
	}
}

// ask asks until the server, which may still be starting, answers.
func ask(t *testing.T, addr, name string, exited chan error) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	for deadline := time.Now().Add(20 * time.Second); ; {
		reply, err := dns.Exchange(q, addr)
		if err == nil {
			return reply
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("coredns ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// freeAddr is a loopback address whose port nobody uses.
func freeAddr(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}
