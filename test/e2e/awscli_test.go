package e2e

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed awscli.py
var awsCLIServer string

// awsCLISocket names the variable with the socket of the CLI that is loaded
// already.
const awsCLISocket = "E2E_AWS_CLI"

// awsCLI is the socket of the CLI, which is loaded when it is first asked for.
var awsCLI = sync.OnceValue(func() string {
	socket, err := loadAWSCLI()
	if err != nil {
		panic(fmt.Errorf("loading the aws CLI: %w", err))
	}
	return socket
})

// loadAWSCLI starts awscli.py. It ends with this process, and cleans up.
func loadAWSCLI() (socket string, err error) {
	dir, err := os.MkdirTemp("", "tarn-e2e-aws-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	socket = filepath.Join(dir, "socket")
	cmd := exec.Command("/usr/bin/python3", "-I", "-c", awsCLIServer, socket)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the scripts
	if _, err := cmd.StdinPipe(); err != nil {           // the kernel closes it when this process ends
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			return socket, conn.Close()
		}
		select {
		case err := <-ended:
			return "", fmt.Errorf("it has ended: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// callAWSCLI is `aws` with the arguments: its exit status.
func callAWSCLI(socket string, args []string) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	env := map[string]string{}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	call, err := json.Marshal(map[string]any{"args": append([]string{}, args...), "env": env, "dir": dir})
	if err != nil {
		return 0, err
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, _, err := conn.(*net.UnixConn).WriteMsgUnix([]byte{0}, syscall.UnixRights(0, 1, 2), nil); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "%d\n%s", len(call), call); err != nil {
		return 0, err
	}
	var status [1]byte
	if _, err := io.ReadFull(conn, status[:]); err != nil {
		return 0, errors.Join(errors.New("the aws CLI has ended without a status"), err)
	}
	return int(status[0]), nil
}
