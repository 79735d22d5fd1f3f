package truststore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// User is somebody with browsers.
type User struct {
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Home string `json:"home"`
}

// Caller is the user who asks: the one who has called sudo, if so.
func Caller() (User, error) {
	self := User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	return caller(self, os.Getenv, user.Lookup)
}

func caller(self User, getenv func(string) string, lookup func(string) (*user.User, error)) (User, error) {
	name := getenv("SUDO_USER")
	if self.UID != 0 || name == "" || getenv("SUDO_UID") == "0" {
		if self.Home = getenv("HOME"); self.Home == "" {
			return User{}, errors.New("HOME is not set, so that the browsers' databases cannot be found: set it, or leave them out by --store system")
		}
		return self, nil
	}
	u, err := lookup(name)
	if err != nil {
		return User{}, fmt.Errorf("looking for the home of %s, who called sudo (--store system leaves the browsers out): %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return User{}, fmt.Errorf("the uid of %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return User{}, fmt.Errorf("the gid of %s: %w", name, err)
	}
	return User{UID: uint32(uid), GID: uint32(gid), Home: u.HomeDir}, nil
}

// run runs a program as the user, so that files that it makes are the user's,
// and links in the user's home lead only where the user may write. The program
// has no terminal that it could ask for a password.
func (u User) run(ctx context.Context, stdin []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+u.Home)
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(string(stdin))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 && u.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID}
	}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(string(exit.Stderr)), " "))
		}
		return out, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}
