package namespace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making namespaces needs root")
	}
}

// prepared returns a directory for pins, and checks at the end that nothing
// stayed mounted below it.
func prepared(t testing.TB) string {
	t.Helper()
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "ns")
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Teardown(dir); err != nil {
			t.Error(err)
		}
		if left := mountsBelow(t, dir); len(left) > 0 {
			t.Errorf("mounts left behind: %v", left)
		}
	})
	return dir
}

func mountsBelow(t testing.TB, dir string) []string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.Mountpoint)
	}
	return points
}

func testSet(dir, name string) Set {
	return Set{
		Net:   filepath.Join(dir, name+".net"),
		Mount: filepath.Join(dir, name+".mnt"),
		UTS:   filepath.Join(dir, name+".uts"),
	}
}

func mustCreate(t *testing.T, set Set) {
	t.Helper()
	if err := Create(set); err != nil {
		t.Fatal(err)
	}
}

func inode(t *testing.T, file string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestCreateIsIdempotentAndRemoveLeavesNothing(t *testing.T) {
	dir := prepared(t)
	set := testSet(dir, "a")
	mustCreate(t, set)
	first := []uint64{inode(t, set.Net), inode(t, set.Mount), inode(t, set.UTS)}
	mustCreate(t, set)
	second := []uint64{inode(t, set.Net), inode(t, set.Mount), inode(t, set.UTS)}
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("second Create made other namespaces: %v, then %v", first, second)
	}

	// One namespace that is lost is made again, the others stay.
	if err := Remove(Set{UTS: set.UTS}); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, set)
	if inode(t, set.Net) != first[0] || inode(t, set.Mount) != first[1] {
		t.Error("Create replaced namespaces that were there")
	}

	for range 2 { // the second time all is gone already
		if err := Remove(set); err != nil {
			t.Fatal(err)
		}
	}
	if left := mountsBelow(t, dir); len(left) != 1 || left[0] != dir {
		t.Errorf("mounts after Remove: %v, want only %s", left, dir)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("files after Remove: %v, %v", files, err)
	}
}

func TestPlainFileIsNotAPin(t *testing.T) {
	dir := prepared(t)
	set := Set{Net: filepath.Join(dir, "net")}
	if err := os.WriteFile(set.Net, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := set.Do(func() error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Do in a plain file: %v", err)
	}
	mustCreate(t, set) // what a crash before the mount left behind is used
	if err := set.Do(func() error { return nil }); err != nil {
		t.Error(err)
	}

	// A namespace of another kind is refused, and data is never deleted.
	if err := Create(Set{UTS: set.Net}); err == nil {
		t.Error("a network namespace passed for a UTS namespace")
	}
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(Set{Net: data}); err == nil {
		t.Error("Remove deleted a file with data in it")
	}
	if _, err := os.Stat(data); err != nil {
		t.Error(err)
	}
}

func TestStart(t *testing.T) {
	dir := prepared(t)
	set := testSet(dir, "a")
	mustCreate(t, set)
	if err := set.SetHostname("ip-192-168-12-34"); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.kinds() {
		cmd := exec.Command("/bin/readlink", "/proc/self/ns/"+k.name)
		var out strings.Builder
		cmd.Stdout = &out
		if err := set.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s:[%d]", k.name, inode(t, k.file))
		if got := strings.TrimSpace(out.String()); got != want {
			t.Errorf("the child lives in %s, want %s", got, want)
		}
		if own, _ := os.Readlink("/proc/thread-self/ns/" + k.name); own == want {
			t.Errorf("the caller lives in the child's namespace %s", want)
		}
	}

	cmd := exec.Command("/bin/uname", "-n")
	var out strings.Builder
	cmd.Stdout = &out
	if err := set.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != "ip-192-168-12-34" {
		t.Errorf("host name of the child: %q", got)
	}
	if own, _ := os.Hostname(); own == "ip-192-168-12-34" {
		t.Error("the host was renamed")
	}
}

func TestStartErrors(t *testing.T) {
	dir := prepared(t)
	set := testSet(dir, "a")
	mustCreate(t, set)
	if err := set.Start(exec.Command("/nonexistent/program")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
	if err := testSet(dir, "b").Start(exec.Command("/bin/true")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing namespaces: %v", err)
	}
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := set.Start(cmd); err == nil {
		t.Error("Pdeathsig was accepted")
	}
}

// A pin that is copied into another mount namespace would keep its namespace
// alive after Remove.
func TestMountNamespaceHoldsNoPins(t *testing.T) {
	dir := prepared(t)
	other := Set{Net: filepath.Join(dir, "other.net")}
	mustCreate(t, other)
	set := testSet(dir, "a")
	mustCreate(t, set)
	mustCreate(t, testSet(dir, "later"))
	err := set.DoMount(func() error {
		pins, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("nsfs"))
		if err != nil {
			return err
		}
		for _, pin := range pins {
			if strings.HasPrefix(pin.Mountpoint, dir) {
				t.Errorf("%s is pinned inside, too", pin.Mountpoint)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// On most hosts every mount is shared with all that comes later.
func TestMountPropagation(t *testing.T) {
	dir := prepared(t)
	shared := filepath.Join(t.TempDir(), "shared")
	inner, outer := filepath.Join(shared, "inner"), filepath.Join(shared, "outer")
	tmpfs := func(at string) error {
		if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		return unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k")
	}
	if err := tmpfs(shared); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(shared, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", shared, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	set := testSet(dir, "a")
	mustCreate(t, set)
	inside := func() (points []string) {
		err := set.DoMount(func() error {
			points = mountsBelow(t, shared)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return points
	}

	if err := set.DoMount(func() error { return tmpfs(inner) }); err != nil {
		t.Fatal(err)
	}
	if got := mountsBelow(t, shared); len(got) != 1 {
		t.Errorf("a mount made inside is seen outside: %v", got)
	}
	if got := inside(); len(got) != 2 {
		t.Errorf("mounts inside: %v, want %s, too", got, inner)
	}
	if err := tmpfs(outer); err != nil {
		t.Fatal(err)
	}
	if got := inside(); len(got) != 3 {
		t.Errorf("mounts inside: %v, want %s, too", got, outer)
	}
	if err := unix.Unmount(outer, 0); err != nil {
		t.Fatal(err)
	}
	if got := inside(); len(got) != 2 {
		t.Errorf("a mount that the host has undone is busy inside: %v", got)
	}
}

func TestDo(t *testing.T) {
	dir := prepared(t)
	a, b := Set{Net: filepath.Join(dir, "a")}, Set{Net: filepath.Join(dir, "b")}
	mustCreate(t, a)
	mustCreate(t, b)
	listen := func(s Set) net.Listener {
		var l net.Listener
		err := s.Do(func() (err error) {
			l, err = net.Listen("tcp4", "127.0.0.1:7001") // works only with loopback up
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	// The same port in both: they are namespaces apart.
	la, _ := listen(a), listen(b)
	var conn net.Conn
	err := a.Do(func() (err error) {
		conn, err = net.Dial("tcp4", la.Addr().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	want := errors.New("told so")
	if err := a.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error of the function: %v", err)
	}
	if err := a.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error from a function that ended its goroutine")
	}
}

// Every thread of the process must be at home after much coming and going, the
// first one (which /proc/self shows) at any time.
func TestThreadsAreNotLost(t *testing.T) {
	dir := prepared(t)
	set := testSet(dir, "a")
	mustCreate(t, set)
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	inside := fmt.Sprintf("net:[%d]", inode(t, set.Net))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			check := func() error {
				got, err := os.Readlink("/proc/thread-self/ns/net")
				if err == nil && got != inside {
					t.Errorf("inside Do: %s, want %s", got, inside)
				}
				return err
			}
			if err := set.Do(check); err != nil {
				t.Error(err)
			}
			if i%8 == 0 {
				if err := set.DoMount(func() error { return nil }); err != nil {
					t.Error(err)
				}
			}
			if got, _ := os.Readlink("/proc/self/ns/net"); got != home {
				t.Errorf("the first thread is in %s", got)
			}
		})
	}
	wg.Wait()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		got, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && got != home { // a thread may end meanwhile
			t.Errorf("thread %s stayed in %s", task.Name(), got)
		}
	}
}

func TestPrepareAndTeardownAreIdempotent(t *testing.T) {
	dir := prepared(t)
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	if got := mountsBelow(t, dir); len(got) != 1 {
		t.Errorf("mounts after two calls of Prepare: %v", got)
	}
	set := testSet(dir, "a")
	mustCreate(t, set)
	keep := filepath.Join(dir, "keep")
	if err := os.WriteFile(keep, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Teardown(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := mountsBelow(t, dir); len(got) != 0 {
		t.Errorf("mounts after Teardown: %v", got)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "keep" {
		t.Errorf("files after Teardown: %v, %v", files, err)
	}
	if err := Teardown(filepath.Join(dir, "never")); err != nil {
		t.Errorf("Teardown of what never was: %v", err)
	}
}

// A disk of the user's on the directory must not be unmounted.
func TestTeardownLeavesOtherMounts(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Teardown(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := mountsBelow(t, dir); len(got) != 1 {
		t.Errorf("mounts after Teardown: %v, want the disk", got)
	}
}

func BenchmarkDo(b *testing.B) {
	dir := prepared(b)
	set := Set{Net: filepath.Join(dir, "a")}
	if err := Create(set); err != nil {
		b.Fatal(err)
	}
	n, err := OpenNet(set.Net)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	for b.Loop() {
		if err := n.Do(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
