package region

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInotifyProblem(t *testing.T) {
	for _, test := range []struct {
		limit, used, nodes int
		says               string
	}{
		{128, 0, 3, ""},
		{128, 89, 3, ""},
		{128, 90, 3, "38 of 128 inotify instances left, and a cluster of 3 nodes takes 39: without `sysctl fs.inotify.max_user_instances=1024`"},
		{128, 200, 3, " 0 of 128 "},
		{1024, 0, 200, "max_user_instances=3624`"},
	} {
		got := inotifyProblem(test.limit, test.used, test.nodes)
		if test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

func TestInotifyInUse(t *testing.T) {
	proc := t.TempDir()
	for fd, to := range map[string]string{
		"1/fd/0": "/dev/null", "1/fd/5": "anon_inode:inotify", "20/fd/7": "anon_inode:inotify", "20/fd/8": "anon_inode:[eventpoll]", "self/fd/7": "anon_inode:inotify",
	} {
		path := filepath.Join(proc, fd)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	if n := inotifyInUse(proc); n != 2 {
		t.Errorf("%d in use, want 2", n)
	}
}

func TestExplained(t *testing.T) {
	plain, full := errors.New("exit status 1"), errors.New("kube-proxy: couldn't initialize inotify: too many open files")
	if got := explained(plain); got != plain {
		t.Errorf("%v", got)
	}
	if got := explained(full); !errors.Is(got, full) || !strings.Contains(got.Error(), "max_user_instances=1024") {
		t.Errorf("%v", got)
	}
}
