package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what an instance with all its pods has used since its cgroup was made.
// It only grows, until the instance boots again.
type Usage struct {
	CPU                   time.Duration
	ReadBytes, WriteBytes uint64 // of block devices
	Reads, Writes         uint64
}

// Meter reads what instances use. It knows where the machine's hierarchies are and
// nothing of the instances, so that a reading is two or three small files.
type Meter struct {
	unified bool
	cpu, io string // hierarchies; io is "" if nobody counts block I/O
}

// Files of cgroup v1: the sums of a cgroup and all below it.
const (
	cpuUsageV1  = "cpuacct.usage"                             // ns
	ioBytesV1   = "blkio.throttle.io_service_bytes_recursive" // lines of: device operation bytes
	ioServiceV1 = "blkio.throttle.io_serviced_recursive"
)

// NewMeter looks for the hierarchies that count.
func NewMeter() (*Meter, error) { return meterAt(cgroupRoot) }

func meterAt(root string) (*Meter, error) {
	g, err := cgroupAt(root, "")
	if err != nil {
		return nil, err
	}
	m := &Meter{unified: g.unified}
	if g.unified {
		m.cpu, m.io = root, root
		return m, nil
	}
	for _, dir := range g.roots {
		if _, err := os.Stat(filepath.Join(dir, cpuUsageV1)); err == nil {
			m.cpu = dir
		}
		if _, err := os.Stat(filepath.Join(dir, ioBytesV1)); err == nil {
			m.io = dir
		}
	}
	if m.cpu == "" {
		return nil, fmt.Errorf("no cgroup hierarchy below %s counts CPU time: mount the controller cpuacct", root)
	}
	return m, nil
}

// Usage reads that of the cgroup, Config.Cgroup of an instance. The error is
// fs.ErrNotExist if there is none: the instance does not run.
func (m *Meter) Usage(cgroup string) (Usage, error) {
	var u Usage
	read := u.readV1
	if m.unified {
		read = u.readV2
	}
	if err := read(filepath.Join(m.cpu, cgroup), filepath.Join(m.io, cgroup), m.io != ""); err != nil {
		return Usage{}, fmt.Errorf("reading what cgroup %s has used: %w", cgroup, err)
	}
	return u, nil
}

func (u *Usage) readV1(cpu, io string, counted bool) error {
	data, err := os.ReadFile(filepath.Join(cpu, cpuUsageV1))
	if err != nil {
		return err
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return err
	}
	u.CPU = time.Duration(ns)
	if !counted {
		return nil
	}
	if u.ReadBytes, u.WriteBytes, err = blkio(filepath.Join(io, ioBytesV1)); err != nil {
		return err
	}
	u.Reads, u.Writes, err = blkio(filepath.Join(io, ioServiceV1))
	return err
}

func (u *Usage) readV2(cpu, io string, _ bool) error {
	data, err := os.ReadFile(filepath.Join(cpu, "cpu.stat"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if us, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(us), 10, 64)
			if err != nil {
				return err
			}
			u.CPU = time.Duration(n) * time.Microsecond
		}
	}
	data, err = os.ReadFile(filepath.Join(io, "io.stat"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the machine lacks the controller
	}
	if err != nil {
		return err
	}
	u.addIO(string(data))
	return nil
}

// blkio sums a file's lines "8:0 Read 4096" up.
func blkio(file string) (read, write uint64, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue // the total
		}
		n, _ := strconv.ParseUint(f[2], 10, 64)
		switch f[1] {
		case "Read":
			read += n
		case "Write":
			write += n
		}
	}
	return read, write, nil
}

// addIO sums the lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" up.
//
// https://docs.kernel.org/admin-guide/cgroup-v2.html#io-interface-files
func (u *Usage) addIO(text string) {
	for field := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(field, "=")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "rbytes":
			u.ReadBytes += n
		case "wbytes":
			u.WriteBytes += n
		case "rios":
			u.Reads += n
		case "wios":
			u.Writes += n
		}
	}
}
