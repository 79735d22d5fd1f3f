package region

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func read(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestListeningInode(t *testing.T) {
	tcp, tcp6 := read(t, "testdata/proc_net_tcp"), read(t, "testdata/proc_net_tcp6")
	for _, test := range []struct {
		name, table string
		port        int
		want        string
	}{
		{"on every address", tcp, 22, "15131"},
		{"on loopback", tcp, 6443, "39222"},
		{"after connections of the same port", tcp, 5000, "40003"},
		{"the client's side of a connection", tcp, 50000, ""},
		{"not in use", tcp, 8080, ""},
		{"the end of another port's number", tcp, 0x92B, ""},
		{"on every address of IPv6, and so of IPv4", tcp6, 22, "15142"},
		{"on IPv6's loopback only, which takes no port of 127.0.0.1", tcp6, 5060, ""},
		{"an empty table", "", 22, ""},
		{"a line that is cut", strings.SplitAfter(tcp, "\n")[1][:60], 22, ""},
	} {
		if got := listeningInode(bufio.NewScanner(strings.NewReader(test.table)), test.port); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// FuzzListeningInode: what is found is in a line of a listening socket, and
// whatever the table holds nothing panics.
func FuzzListeningInode(f *testing.F) {
	f.Add(read(f, "testdata/proc_net_tcp"), uint16(5000))
	f.Add(read(f, "testdata/proc_net_tcp6"), uint16(22))
	f.Add(" 0: 0100007F:1388 0 0A", uint16(5000))
	f.Fuzz(func(t *testing.T, table string, port uint16) {
		got := listeningInode(bufio.NewScanner(strings.NewReader(table)), int(port))
		if got == "" {
			return
		}
		for line := range strings.SplitSeq(table, "\n") {
			fields := strings.Fields(line)
			if slices.Contains(fields, got) && slices.Contains(fields, "0A") && strings.Contains(line, fmt.Sprintf(":%04X", port)) {
				return
			}
		}
		t.Errorf("%q listens on %d in no line of\n%s", got, port, table)
	})
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
