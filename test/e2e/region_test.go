package e2e

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// programs is where `make e2e` puts what it builds for the scripts.
const programs = "bin/e2e"

const needsRoot = "because a region needs root: run them with sudo"

// requirements skips the test without root, and fails it without the binary.
func requirements(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped,", needsRoot)
	}
	if _, err := os.Stat(binary(t)); err != nil {
		t.Fatalf("there is no tarn to test: run `make build`, or set TARN_BIN (%v)", err)
	}
	if _, err := os.Stat(filepath.Join("../..", programs, "kubectl")); err != nil {
		t.Fatalf("there is no kubectl: `make e2e` builds it (%v)", err)
	}
}

// binary is the program under test.
func binary(t testing.TB) string {
	name := os.Getenv("TARN_BIN")
	if name == "" {
		name = "../../bin/tarn"
	}
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// region is the place for a region: a state directory and free ports.
type region struct {
	binary, dir           string
	source                string // the root of the source tree
	endpointPort          string
	apiPort, registryPort string
	// dnsPort is of the name server, the others of the front doors.
	dnsPort, httpsPort, httpPort string
}

// newRegion makes the place for a region, and sees to it that no region is left
// there when the test has ended, however it ends.
func newRegion(t testing.TB) *region {
	t.Helper()
	// Unix sockets want a short path, so not t.TempDir.
	dir, err := os.MkdirTemp("", "tarn-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := &region{
		binary: binary(t), dir: dir, source: source, endpointPort: freePort(t), apiPort: freePort(t), registryPort: freePort(t),
		dnsPort: freePort(t), httpsPort: freePort(t), httpPort: freePort(t),
	}
	release := r.guard(t)
	t.Cleanup(func() {
		defer release()
		if t.Failed() {
			r.keepLogs(t)
		}
		if _, err := os.Stat(r.dir); errors.Is(err, fs.ErrNotExist) {
			return // the script has deleted it
		}
		if out, err := exec.Command(r.binary, "delete", "--data-dir", r.dir).CombinedOutput(); err != nil {
			t.Errorf("deleting the region: %v\n%s", err, out)
		}
	})
	return r
}

// guard starts a shell that waits for this process to let go of a pipe, which
// the kernel does when the process dies, and then deletes what is still there.
// The result lets go and waits.
func (r *region) guard(t testing.TB) (release func()) {
	t.Helper()
	const script = `read -r nothing
for attempt in 1 2 3 4 5 6 7 8 9 10; do
	[ -e "$2" ] || exit 0
	"$1" delete --data-dir "$2" && exit 0
	sleep 1 # it may be starting
done
exit 1`
	cmd := exec.Command("/bin/sh", "-c", script, "guard", r.binary, r.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = pipe.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the guard could not delete the region in %s: %v", r.dir, err)
		}
	}
}

// keepLogs copies the region's logs to where they outlive the region.
func (r *region) keepLogs(t testing.TB) {
	logs := filepath.Join(r.dir, "log")
	if _, err := os.Stat(logs); err != nil {
		return
	}
	kept, err := os.MkdirTemp("", "tarn-e2e-logs-")
	if err == nil {
		err = os.CopyFS(kept, os.DirFS(logs))
	}
	if err != nil {
		t.Errorf("keeping the region's logs: %v", err)
		return
	}
	t.Logf("the region's logs are in %s", kept)
}

// tarn runs a command that must succeed.
func (r *region) tarn(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command(r.binary, args...)
	cmd.Env = append(os.Environ(), "TARN_DATA_DIR="+r.dir)
	out, err := cmd.CombinedOutput()
	t.Logf("tarn %s\n%s", strings.Join(args, " "), out)
	if err != nil {
		t.Fatal(err)
	}
}

// explain shows, of a failed script, what its namespace looked like at the end.
func (r *region) explain(t testing.TB, namespace string) {
	if !t.Failed() {
		return
	}
	for _, args := range [][]string{
		{"get", "pods", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp"}, {"describe", "nodes"},
	} {
		cmd := exec.Command(r.binary, append([]string{"kubectl", "--namespace", namespace}, args...)...)
		cmd.Env = append(os.Environ(), "TARN_DATA_DIR="+r.dir)
		out, err := cmd.CombinedOutput()
		t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// environment shows a script its region.
func (r *region) environment(env *testscript.Env) {
	env.Setenv("PATH", filepath.Join(r.source, programs)+string(filepath.ListSeparator)+env.Getenv("PATH"))
	env.Setenv("TARN_BIN", r.binary)
	env.Setenv("TARN_DATA_DIR", r.dir)
	env.Setenv("ENDPOINT_PORT", r.endpointPort)
	env.Setenv("AWS_DEFAULT_REGION", "ap-northeast-2")
	env.Setenv("AWS_PAGER", "")
	env.Setenv(awsCLISocket, awsCLI())
	env.Setenv("API_PORT", r.apiPort)
	env.Setenv("REGISTRY_PORT", r.registryPort)
	env.Setenv("DNS_PORT", r.dnsPort)
	env.Setenv("HTTPS_PORT", r.httpsPort)
	env.Setenv("HTTP_PORT", r.httpPort)
	env.Setenv("EXAMPLES", filepath.Join(r.source, "examples"))
}

// ports are the flags of `tarn up` that choose the region's ports.
func (r *region) ports() []string {
	return []string{
		"--endpoint-port=" + r.endpointPort, "--api-port=" + r.apiPort, "--registry-port=" + r.registryPort,
		"--dns-port=" + r.dnsPort, "--https-port=" + r.httpsPort, "--http-port=" + r.httpPort,
	}
}

// nextPort is below the range that the kernel gives to outgoing connections, so
// that a port is still free when the region asks for it.
var nextPort atomic.Int32

func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20000 + (os.Getpid()*16+int(nextPort.Add(1)))%10000)
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
	t.Fatal("no port is free between 20000 and 30000")
	return ""
}

// tarnProgram is `tarn` in the scripts.
func tarnProgram() {
	err := syscall.Exec(os.Getenv("TARN_BIN"), append([]string{"tarn"}, os.Args[1:]...), os.Environ())
	fail(fmt.Errorf("running %s: %w", os.Getenv("TARN_BIN"), err))
}

// awsProgram is `aws` in the scripts: Debian's CLI for the region, as the account's
// root, or as whom the command `as` has chosen.
func awsProgram() {
	args := os.Args[1:]
	if os.Getenv("AWS_ENDPOINT_URL") == "" { // else `tarn aws` has set it, and calls this
		args = append([]string{"--endpoint-url", "http://127.0.0.1:" + os.Getenv("ENDPOINT_PORT")}, args...)
		if os.Getenv("AWS_ACCESS_KEY_ID") == "" {
			// As `tarn env` says, which takes longer to ask.
			if err := os.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(os.Getenv("TARN_DATA_DIR"), "credentials")); err != nil {
				fail(err)
			}
		}
	}
	status, err := callAWSCLI(os.Getenv(awsCLISocket), args)
	if err != nil {
		fail(err)
	}
	os.Exit(status)
}

func fail(err error) {
	_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
	os.Exit(1)
}
