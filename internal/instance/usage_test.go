package instance

import (
	"errors"
	"io/fs"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  Usage
	}{
		{
			"v1", map[string]string{
				"cpu,cpuacct/cgroup.procs": "", "cpu,cpuacct/cpuacct.usage": "9000000000\n", "cpu -> cpu,cpuacct": "",
				"blkio/cgroup.procs": "", "blkio/blkio.throttle.io_service_bytes_recursive": "Total 0\n",
				"cpu,cpuacct/g/i-1/cpuacct.usage":                       "1500000000\n",
				"blkio/g/i-1/blkio.throttle.io_service_bytes_recursive": "8:16 Read 4096\n8:16 Write 8192\n8:16 Sync 12288\n8:16 Discard 0\n8:16 Total 12288\n254:0 Read 1\n254:0 Write 2\nTotal 12291\n",
				"blkio/g/i-1/blkio.throttle.io_serviced_recursive":      "8:16 Read 1\n8:16 Write 2\n254:0 Read 3\nTotal 6\n",
			},
			Usage{CPU: 1500 * time.Millisecond, ReadBytes: 4097, WriteBytes: 8194, Reads: 4, Writes: 2},
		},
		{
			"v1 that counts no block I/O", map[string]string{
				"cpuacct/cgroup.procs": "", "cpuacct/cpuacct.usage": "0\n", "cpuacct/g/i-1/cpuacct.usage": "7\n",
			},
			Usage{CPU: 7},
		},
		{
			"v2", map[string]string{
				"cgroup.controllers": "cpu io",
				"g/i-1/cpu.stat":     "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 3\n",
				"g/i-1/io.stat":      "8:16 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0 \n",
			},
			Usage{CPU: 2500 * time.Millisecond, ReadBytes: 101, WriteBytes: 202, Reads: 4, Writes: 6},
		},
		{
			"v2 without the controller io", map[string]string{"cgroup.controllers": "cpu", "g/i-1/cpu.stat": "usage_usec 1\n"},
			Usage{CPU: time.Microsecond},
		},
	} {
		root := t.TempDir()
		tree(t, root, test.files)
		m, err := meterAt(root)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got, err := m.Usage("g/i-1"); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
		if _, err := m.Usage("g/i-2"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: an instance that does not run: %v", test.name, err)
		}
	}
	root := t.TempDir()
	tree(t, root, map[string]string{"memory/cgroup.procs": ""})
	if _, err := meterAt(root); err == nil {
		t.Error("nobody counts CPU time, and nothing is said")
	}
}
