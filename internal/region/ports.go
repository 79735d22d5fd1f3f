package region

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultPorts are asked for first.
var DefaultPorts = Ports{Endpoint: 4566, API: 6443, Registry: 5000}

// listenLocal opens a loopback port. When another region has it, and the port
// is not one that was chosen before, any free port is taken instead; when
// another program has it, the error names the program and the flag, if there is
// one, that chooses another port.
func listenLocal(what string, port int, mayMove bool, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil || !errors.Is(err, unix.EADDRINUSE) {
		return l, err
	}
	holder := portHolder(port)
	if mayMove && holder.tarn {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	if flag == "" {
		return nil, fmt.Errorf("port %d, which the %s listens on, is taken by %s: end that program", port, what, holder)
	}
	return nil, fmt.Errorf("port %d, which the %s listens on, is taken by %s: end that program, or choose another port with --%s", port, what, holder, flag)
}

// holder is the process that listens on a port.
type holder struct {
	pid  int
	name string
	tarn bool
}

func (h holder) String() string {
	if h.pid == 0 {
		return "a program that this user may not see"
	}
	return fmt.Sprintf("%s (process %d)", h.name, h.pid)
}

// portHolder finds who listens on a TCP port, by the socket's inode.
func portHolder(port int) holder {
	// The kernel shows its table a page at a time, and a socket that closes
	// between two pages hides another one: what is not found is looked for again.
	const looks = 10
	for range looks {
		if h := lookForHolder(port); h.pid != 0 {
			return h
		}
	}
	return holder{}
}

func lookForHolder(port int) holder {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		inode := listeningInode(bufio.NewScanner(f), port)
		_ = f.Close()
		if inode != "" {
			if h := socketHolder(inode); h.pid != 0 {
				return h
			}
		}
	}
	return holder{}
}

// loopback are the local addresses, as proc(5)'s tables write them, whose
// listeners have a port of 127.0.0.1.
var loopback = []string{
	"0100007F", "00000000", // 127.0.0.1, 0.0.0.0
	"00000000000000000000000000000000", "0000000000000000FFFF00000100007F", // ::, ::ffff:127.0.0.1
}

// listeningInode reads proc(5)'s table of TCP sockets.
func listeningInode(lines *bufio.Scanner, port int) string {
	const listen = "0A"
	local := make([]string, len(loopback))
	for i, address := range loopback {
		local[i] = fmt.Sprintf("%s:%04X", address, port)
	}
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && slices.Contains(local, fields[1]) && fields[3] == listen {
			return fields[9]
		}
	}
	return ""
}

func socketHolder(inode string) holder {
	links, err := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	if err != nil {
		return holder{}
	}
	self, _ := os.Readlink("/proc/self/exe")
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		proc := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(proc, "comm"))
		exe, _ := os.Readlink(filepath.Join(proc, "exe"))
		exe = strings.TrimSuffix(exe, " (deleted)") // a binary that was built anew
		return holder{pid: pid, name: strings.TrimSpace(string(name)), tarn: exe == self || filepath.Base(exe) == "tarn"}
	}
	return holder{}
}
