package region

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

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

// portHolder finds who listens on a TCP port of 127.0.0.1, by the socket's inode.
func portHolder(port int) holder {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		inodes, err := listening(family, uint16(port))
		if err != nil {
			continue
		}
		for _, inode := range inodes {
			if h := socketHolder(inode); h.pid != 0 {
				return h
			}
		}
	}
	return holder{}
}

// listening asks the kernel for the inodes of the sockets that listen on a port of
// 127.0.0.1. Unlike /proc/net/tcp, it looks at listening sockets only, and so no
// connection that ends meanwhile hides one.
//
// sock_diag(7)
func listening(family byte, port uint16) ([]uint32, error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	request := make([]byte, 56) // struct inet_diag_req_v2
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], 1<<unix.BPF_TCP_LISTEN)
	binary.BigEndian.PutUint16(request[8:], port)
	const sockDiagByFamily = 20
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump},
		Data:   request,
	})
	if err != nil {
		return nil, err
	}
	var inodes []uint32
	for _, answer := range answers {
		if inode, ok := loopbackInode(answer.Data); ok {
			inodes = append(inodes, inode)
		}
	}
	return inodes, nil
}

// loopbackInode reads a struct inet_diag_msg: the inode of a socket whose address
// is, or has among others, 127.0.0.1.
func loopbackInode(message []byte) (inode uint32, ok bool) {
	if len(message) < 72 {
		return 0, false
	}
	local := netip.AddrFrom16([16]byte(message[8:24])).Unmap()
	if message[0] == unix.AF_INET {
		local = netip.AddrFrom4([4]byte(message[8:12]))
	}
	if !local.IsUnspecified() && local != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return 0, false
	}
	return binary.NativeEndian.Uint32(message[68:]), true
}

// socketHolder finds the process that has a socket open.
func socketHolder(inode uint32) holder {
	links, err := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	if err != nil {
		return holder{}
	}
	self, _ := os.Readlink("/proc/self/exe")
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != fmt.Sprintf("socket:[%d]", inode) {
			continue
		}
		proc := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join(proc, "comm"))
		name := strings.TrimSpace(string(comm))
		if name == "exe" { // a region's: it ran /proc/self/exe
			command, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
			name, _, _ = strings.Cut(string(command), "\x00")
		}
		exe, _ := os.Readlink(filepath.Join(proc, "exe"))
		exe = strings.TrimSuffix(exe, " (deleted)") // a binary that was built anew
		return holder{pid: pid, name: name, tarn: exe == self || filepath.Base(exe) == "tarn"}
	}
	return holder{}
}
