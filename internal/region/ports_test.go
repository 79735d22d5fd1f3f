package region

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func read(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLoopbackInode(t *testing.T) {
	message := func(family byte, address string) []byte {
		m := make([]byte, 72)
		m[0] = family
		copy(m[8:24], netip.MustParseAddr(address).AsSlice())
		binary.NativeEndian.PutUint32(m[68:], 4711)
		return m
	}
	for _, test := range []struct {
		name    string
		message []byte
		want    bool
	}{
		{"on loopback", message(unix.AF_INET, "127.0.0.1"), true},
		{"on every address", message(unix.AF_INET, "0.0.0.0"), true},
		{"on another loopback address, as load balancers have", message(unix.AF_INET, "127.64.0.1"), false},
		{"on every address of IPv6, and so of IPv4", message(unix.AF_INET6, "::"), true},
		{"on loopback, by an IPv6 socket", message(unix.AF_INET6, "::ffff:127.0.0.1"), true},
		{"on IPv6's loopback only, which takes no port of 127.0.0.1", message(unix.AF_INET6, "::1"), false},
		{"a message that is cut", message(unix.AF_INET, "127.0.0.1")[:71], false},
		{"an empty message", nil, false},
	} {
		if inode, ok := loopbackInode(test.message); ok != test.want || ok && inode != 4711 {
			t.Errorf("%s: %d, %v", test.name, inode, ok)
		}
	}
}

// Who listens is found, however many connections of the port there are.
func TestListening(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	inodes, err := listening(unix.AF_INET, port)
	if err != nil || len(inodes) != 1 {
		t.Fatalf("%v, %v", inodes, err)
	}
	if h := socketHolder(inodes[0]); h.pid != os.Getpid() {
		t.Errorf("held by %+v, want process %d", h, os.Getpid())
	}
	l.Close()
	if inodes, err := listening(unix.AF_INET, port); err != nil || len(inodes) != 0 {
		t.Errorf("after its end: %v, %v", inodes, err)
	}
}

// child is a program of a name that holds a loopback port.
func child(t *testing.T, program string) (port, pid int) {
	t.Helper()
	line := runChild(t, program, "listen", nil)
	if _, err := fmt.Sscan(line, &port, &pid); err != nil {
		t.Fatalf("the child said %q", line)
	}
	return port, pid
}

// called is a copy of this test's program with another name.
func called(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(program, []byte(read(t, self)), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func TestAPortThatIsTaken(t *testing.T) {
	stranger, tarn := called(t, "stranger"), called(t, "tarn")
	for _, test := range []struct {
		name, program  string
		mayMove, moves bool
	}{
		{"by a stranger", stranger, true, false},
		{"by a stranger, and it was chosen", stranger, false, false},
		{"by another region", tarn, true, true},
		{"by another region, and it was chosen", tarn, false, false},
		{"by a region of this very program", "/proc/self/exe", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			port, pid := child(t, test.program)
			l, err := listenLocal("image registry", port, test.mayMove, "registry-port")
			if (err == nil) != test.moves {
				t.Fatal(err)
			}
			if err == nil {
				defer l.Close()
				if a := l.Addr().(*net.TCPAddr); a.Port == port || !a.IP.IsLoopback() {
					t.Errorf("it listens on %s", a)
				}
				return
			}
			for _, want := range []string{fmt.Sprint("port ", port), "image registry", filepath.Base(test.program), fmt.Sprint("process ", pid), "--registry-port"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestAPortThatIsFree(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := probe.Addr().(*net.TCPAddr).Port
	probe.Close()
	l, err := listenLocal("image registry", port, true, "registry-port")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a := l.Addr().(*net.TCPAddr); a.Port != port || !a.IP.IsLoopback() {
		t.Errorf("it listens on %s", a)
	}
}

func TestHolderString(t *testing.T) {
	if got := (holder{pid: 7, name: "nginx"}).String(); got != "nginx (process 7)" {
		t.Error(got)
	}
	if got := (holder{}).String(); !strings.Contains(got, "not see") {
		t.Error(got)
	}
}
