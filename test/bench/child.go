package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// grace is how long a child may take to start, and to end.
const grace = 10 * time.Second

// child is a process that the bench starts and ends. Other processes of its
// process group, as nginx's workers, count as part of it.
type child struct {
	name string
	cmd  *exec.Cmd
	said bytes.Buffer  // on standard error; to be read when done is closed
	done chan struct{} // closed when it has ended
	err  error         // why it ended; valid when done is closed
}

// launch starts a child. One that is not ended dies with the bench.
func launch(name string, cmd *exec.Cmd) (*child, error) {
	c := &child{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &c.said
	cmd.WaitDelay = grace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { // ends with the child, for which stop waits
		defer close(c.done)
		c.err = cmd.Wait()
	}()
	return c, nil
}

// reachable waits until the child accepts connections.
func (c *child) reachable(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.done:
			return c.ended()
		case <-ctx.Done():
			return fmt.Errorf("%s does not accept connections on %s: %w", c.name, address, err)
		case <-again.C:
		}
	}
}

// running returns an error if the child has ended.
func (c *child) running() error {
	select {
	case <-c.done:
		return c.ended()
	default:
		return nil
	}
}

func (c *child) ended() error {
	return fmt.Errorf("%s has ended: %v\n%s", c.name, c.err, c.said.Bytes())
}

// stop ends the child and waits for it.
func (c *child) stop() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(grace):
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.done
	}
}

// pids are the processes of the child's process group. proc_pid_stat(5).
func (c *child) pids() ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if group, err := strconv.Atoi(fields[2]); err != nil || group != c.cmd.Process.Pid {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("%s has no process: it has ended", c.name)
	}
	return pids, nil
}

// cpu is the CPU time in seconds that the child's processes have used.
func (c *child) cpu() (float64, error) {
	pids, err := c.pids()
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, pid := range pids {
		s, err := cpuSeconds(pid)
		if err != nil {
			return 0, err
		}
		sum += s
	}
	return sum, nil
}

// memory is what the child's processes have in RAM.
func (c *child) memory() (memory, error) {
	pids, err := c.pids()
	if err != nil {
		return memory{}, err
	}
	return memoryOfAll(pids)
}

// freePorts are n loopback ports that nothing listens on, below those that the
// kernel gives to clients: with thousands of connections a client would soon have
// the port on which a server is to listen.
func freePorts(n int) ([]int, error) {
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\t")
	lowest, err := strconv.Atoi(first)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var ports []int
	for port := lowest - 1; port > 1024 && len(ports) < n; port-- {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp4", address)
		if err != nil {
			continue
		}
		l.Close()
		p, err := net.ListenPacket("udp4", address)
		if err != nil {
			continue
		}
		p.Close()
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("%d loopback ports between 1024 and %d are needed, and %d are free", n, lowest, len(ports))
	}
	return ports, nil
}
