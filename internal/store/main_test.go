package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tarn-eks/tarn/internal/store"
)

// The test binary is also the child process that some tests need: one that may
// be killed, or that has a small disk of its own.
const roleVar = "STORE_TEST_ROLE"

func TestMain(m *testing.M) {
	role, ok := map[string]func() error{
		"":       nil,
		"writer": childWriter,
		"holder": childHolder,
		"disk":   childSmallDisk,
		"filler": childFiller,
	}[os.Getenv(roleVar)]
	switch {
	case !ok:
		panic("no such role")
	case role == nil:
		os.Exit(m.Run())
	}
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child prepares this binary in another role, in dir.
func child(t *testing.T, role, dir, socket string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, "STORE_TEST_DIR="+dir, "STORE_TEST_SOCKET="+socket)
	cmd.Stderr = os.Stderr
	return cmd
}

func childConfig() store.Config {
	return store.Config{Dir: os.Getenv("STORE_TEST_DIR"), Socket: os.Getenv("STORE_TEST_SOCKET")}
}

// childWriter writes until it is killed, and prints each key that the store
// has acknowledged.
func childWriter() error {
	ctx := context.Background()
	s, err := store.Start(ctx, childConfig())
	if err != nil {
		return err
	}
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	keys := make(chan string)
	for w := range 4 { // they end with the process
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if _, err := lakes.Create(ctx, key, lake{Name: key}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				keys <- key
			}
		}()
	}
	for key := range keys {
		if _, err := fmt.Println(key); err != nil {
			return err
		}
	}
	return nil
}

// childHolder holds a store until its standard input ends.
func childHolder() error {
	s, err := store.Start(context.Background(), childConfig())
	if err != nil {
		return err
	}
	fmt.Println("holding")
	io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// childSmallDisk runs in a mount namespace of its own. It lets childFiller fill
// a small disk, makes the disk larger, and checks that all is there.
func childSmallDisk() error {
	cfg := childConfig()
	mount := func(flags uintptr, size string) error {
		return syscall.Mount("tarn-store-test", cfg.Dir, "tmpfs", flags, "size="+size)
	}
	if err := mount(0, "56m"); err != nil {
		return err
	}
	filler := exec.Command(os.Args[0])
	filler.Env = append(os.Environ(), roleVar+"=filler")
	filler.Stderr = os.Stderr
	filler.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := filler.Output()
	if err != nil {
		return err
	}
	acknowledged, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}
	if err := mount(syscall.MS_REMOUNT, "256m"); err != nil {
		return err
	}
	s, err := store.Start(context.Background(), cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	for i := range acknowledged {
		if _, err := lakes.Get(context.Background(), strconv.Itoa(i)); err != nil {
			return fmt.Errorf("of %d: %w", acknowledged, err)
		}
	}
	_, err = lakes.Create(context.Background(), "after", lake{})
	fmt.Println("kept", acknowledged)
	return err
}

// childFiller writes until the store dies of a full disk, and prints how many
// writes were acknowledged.
func childFiller() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := store.Start(ctx, childConfig())
	if err != nil {
		return err
	}
	dead := make(chan error, 1)
	go func() {
		dead <- <-s.Err()
		cancel()
	}()
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	big := strings.Repeat("x", 256<<10)
	n := 0
	for ; ; n++ {
		if _, err := lakes.Create(ctx, strconv.Itoa(n), lake{Name: big}); err != nil {
			break
		}
		if n > 1000 {
			return errors.New("the disk takes more than it has")
		}
	}
	if err := <-dead; !errors.Is(err, store.ErrDiskFull) || !strings.Contains(err.Error(), os.Getenv("STORE_TEST_DIR")) {
		return fmt.Errorf("the store died of: %w", err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrDiskFull) {
		return fmt.Errorf("closed with: %w", err)
	}
	fmt.Println(n)
	return nil
}

// lines gives the complete lines that a child printed; the last may be cut by its death.
func lines(r io.Reader, each func(string)) error {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return err
		}
		each(strings.TrimSuffix(line, "\n"))
	}
}
