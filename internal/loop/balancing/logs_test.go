package balancing

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/elb"
)

func logged(id, bucket, prefix string, minutes int32) elb.LoadBalancer {
	return elb.LoadBalancer{Placement: loadbalancer.Placement{ID: id, Name: "web", HostAddress: netip.MustParseAddr("127.64.1.2")}, Attributes: elb.Attributes{
		AccessLog: elb.AccessLog{Enabled: true, Bucket: bucket, Prefix: prefix, Interval: minutes},
	}}
}

// files are the files below dir with what is in them; random parts of names are x.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	random := regexp.MustCompile(`_[a-z0-9]{8}\.log$`)
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[random.ReplaceAllString(name, "_x.log")] += string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAccessLogs(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		logs := newAccessLogs(dir, "111122223333", "ap-northeast-2", slog.New(slog.DiscardHandler))
		ended := make(chan bool)
		go func() {
			logs.run(ctx)
			close(ended)
		}()
		start := time.Now() // 2000-01-01 00:00:00 UTC
		b := &proxy.Balancer{ID: "1"}
		logs.add(b, []byte("nobody wants this\n"))
		logs.set([]elb.LoadBalancer{logged("1", "logs", "prod/web", 5)})
		time.Sleep(time.Until(start.Add(4*time.Minute + 59*time.Second + 500*time.Millisecond)))
		logs.add(b, []byte("one\n"))
		logs.add(b, []byte("two\n"))
		time.Sleep(600 * time.Millisecond) // the next interval has begun
		logs.add(b, []byte("three\n"))
		time.Sleep(2 * time.Second)
		const base = "logs/prod/web/AWSLogs/111122223333/"
		const file = base + "elasticloadbalancing/ap-northeast-2/2000/01/01/111122223333_elasticloadbalancing_ap-northeast-2_web_20000101T"
		want := map[string]string{
			base + "ELBAccessLogTestFile":   "Enable AccessLog for ELB: web at 2000-01-01T00:00:01.000Z\n",
			file + "0005Z_127.64.1.2_x.log": "one\ntwo\n", file + "0010Z_127.64.1.2_x.log": "three\n",
		}
		if got := files(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}

		// A load balancer that is gone, and the end, lose no line.
		logs.add(b, []byte("four\n"))
		logs.set(nil)
		logs.add(b, []byte("too late\n"))
		cancel()
		<-ended
		want[file+"0010Z_127.64.1.2_x.log"] += "four\n"
		if got := files(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("at the end\ngot  %q\nwant %q", got, want)
		}
	})
}

// Lines that cannot be written wait, and come in order.
func TestAccessLogsWait(t *testing.T) {
	dir := t.TempDir()
	var said strings.Builder
	logs := newAccessLogs(filepath.Join(dir, "s3"), "111122223333", "ap-northeast-2", slog.New(slog.NewTextHandler(&said, nil)))
	if err := os.WriteFile(filepath.Join(dir, "s3"), nil, 0o600); err != nil { // no directory
		t.Fatal(err)
	}
	b := &proxy.Balancer{ID: "1"}
	logs.set([]elb.LoadBalancer{logged("1", "logs", "", 60)})
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		logs.add(b, []byte(line))
		logs.flush()
	}
	if n := strings.Count(said.String(), "level=ERROR"); n != 1 {
		t.Errorf("it was said %d times:\n%s", n, said.String())
	}
	if err := os.Remove(filepath.Join(dir, "s3")); err != nil {
		t.Fatal(err)
	}
	logs.flush()
	found := ""
	for name, text := range files(t, filepath.Join(dir, "s3")) {
		if strings.HasSuffix(name, ".log") {
			found += text
		}
	}
	if found != "one\ntwo\nthree\n" {
		t.Errorf("what was written is %q", found)
	}
	logs.add(b, make([]byte, maxPending+1))
	logs.flush()
	if !strings.Contains(said.String(), "1 lines were lost") {
		t.Errorf("a lost line is not reported:\n%s", said.String())
	}
}

func TestNodeAddress(t *testing.T) {
	lb := base()
	if got := nodeAddress(lb); got != lb.HostAddress {
		t.Errorf("internet-facing: %s", got)
	}
	lb.Scheme = loadbalancer.Internal
	if got := nodeAddress(lb); got != lb.Nodes[0].Address {
		t.Errorf("internal: %s", got)
	}
}
