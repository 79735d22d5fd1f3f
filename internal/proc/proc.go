// Package proc runs the region's child processes: starts them, keeps them
// running, writes and rotates their logs, and stops them. It knows neither what
// they do nor where they run.
package proc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Spec describes a child process.
type Spec struct {
	Name string   // in messages
	Path string   // the program
	Args []string // its arguments, the name it goes by first
	Env  []string // nil: this process's own
	// Files are inherited as descriptors FirstFile, FirstFile+1, …
	Files []*os.File
	// LockFile is held by the child as long as it lives, so that a successor
	// waits for one that a region which died has left behind.
	LockFile string
	LogFile  string
	// Start starts the command; nil means (*exec.Cmd).Start. Namespaces enter here.
	Start func(*exec.Cmd) error
	// Grace is what the child has after SIGTERM before SIGKILL.
	Grace  time.Duration
	Logger *slog.Logger
}

// Process is a child that is kept running until Stop.
type Process struct {
	spec     Spec
	stop     context.CancelFunc
	finished chan struct{}

	mu     sync.Mutex // guards the fields below
	status Status
}

// Status says how a child does.
type Status struct {
	PID      int // 0 when it is not running
	Started  time.Time
	Restarts int
	LastExit string // how it ended the last time; empty if it never did
}

const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// steady is how long a child runs before it counts as healthy again.
	steady = 30 * time.Second
)

// Start starts the child and watches over it: when it ends it is started again,
// at once the first time and then with growing pauses. The error is that of the
// first start.
func Start(spec Spec) (*Process, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{spec: spec, stop: cancel, finished: make(chan struct{})}
	running, err := p.spawn()
	if err != nil {
		cancel()
		return nil, err
	}
	go p.supervise(ctx, running)
	return p, nil
}

// Status returns how the child does now.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// LogFile is where the child's output goes.
func (p *Process) LogFile() string { return p.spec.LogFile }

// Stop ends the child, SIGTERM first, and returns when it has ended. It may be
// called twice.
func (p *Process) Stop() {
	p.stop()
	<-p.finished
}

// AwaitReady calls ready until it returns nil, the child fails twice, or ctx
// ends. The error says how the child ended, or why ctx did, and where its log is.
func (p *Process) AwaitReady(ctx context.Context, ready func(context.Context) error) error {
	const failures = 2
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	before := p.Status().Restarts
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if s := p.Status(); s.Restarts-before >= failures {
			return p.Failure()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s (its log: %s): %w", p.spec.Name, p.spec.LogFile, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Failure says how the child ended the last time, with the end of its log.
func (p *Process) Failure() error {
	return fmt.Errorf("%s does not start: %s\n%s(its log: %s)", p.spec.Name, p.Status().LastExit, tail(p.spec.LogFile, 8), p.spec.LogFile)
}

// child is one run of the command.
type child struct {
	cmd *exec.Cmd
	log *os.File
	// lifeline is the write end of the pipe whose read end the child watches.
	lifeline *os.File
}

func (p *Process) spawn() (*child, error) {
	log, err := openLog(p.spec.LogFile)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(p.spec.LockFile, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the lock of %s: %w", p.spec.Name, err), log.Close())
	}
	defer lock.Close()
	alive, lifeline, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the lifeline of %s: %w", p.spec.Name, err), log.Close())
	}
	defer alive.Close()
	cmd := &exec.Cmd{Path: p.spec.Path, Args: p.spec.Args, Env: p.spec.Env}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = append([]*os.File{alive, lock}, p.spec.Files...)
	// A group of its own: Ctrl-C in a terminal is for the region, which stops
	// its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := p.spec.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", p.spec.Name, err), log.Close(), lifeline.Close())
	}
	p.mu.Lock()
	p.status.PID, p.status.Started = cmd.Process.Pid, time.Now()
	p.mu.Unlock()
	return &child{cmd, log, lifeline}, nil
}

func (p *Process) supervise(ctx context.Context, running *child) {
	defer close(p.finished)
	backoff := time.Duration(0)
	for {
		exit := p.watch(ctx, running)
		ran := time.Since(p.Status().Started)
		p.mu.Lock()
		p.status.PID, p.status.LastExit = 0, exit
		p.mu.Unlock()
		for {
			if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.status.Restarts++
			p.mu.Unlock()
			backoff = nextBackoff(backoff, ran)
			p.spec.Logger.Warn("child process ended; starting it again", "name", p.spec.Name, "exit", exit, "in", backoff, "log", p.spec.LogFile)
			select {
			case <-ctx.Done():
				return
			case <-time.After(backoff):
			}
			var err error
			if running, err = p.spawn(); err == nil {
				break
			}
			ran, exit = 0, err.Error()
			p.mu.Lock()
			p.status.LastExit = exit
			p.mu.Unlock()
		}
	}
}

// nextBackoff is how long to wait before the next start, given the wait before
// the last one and how long the child ran since.
func nextBackoff(last, ran time.Duration) time.Duration {
	switch {
	case ran >= steady:
		return 0
	case last == 0:
		return firstBackoff
	default:
		return min(2*last, lastBackoff)
	}
}

// watch waits for one run to end, and ends it when ctx does.
func (p *Process) watch(ctx context.Context, c *child) string {
	ended := make(chan error, 1)
	go func() { ended <- c.cmd.Wait() }()
	rotate := time.NewTicker(rotateEvery)
	defer rotate.Stop()
	defer c.log.Close()
	defer c.lifeline.Close()
	stopping := ctx.Done()
	var kill <-chan time.Time
	for {
		select {
		case <-ended:
			return c.cmd.ProcessState.String()
		case <-rotate.C:
			if err := rotateLog(p.spec.LogFile, maxLogSize, keptLogs); err != nil {
				p.spec.Logger.Warn("rotating a log", "name", p.spec.Name, "error", err)
			}
		case <-stopping:
			stopping = nil
			_ = c.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
			kill = time.After(p.spec.Grace)
		case <-kill:
			p.spec.Logger.Warn("child process did not end in time; killing it", "name", p.spec.Name, "grace", p.spec.Grace)
			_ = c.cmd.Process.Kill()
		}
	}
}

// tail is the last n lines of a log, indented.
func tail(file string, n int) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	lines = lines[max(0, len(lines)-n):]
	return "    " + strings.Join(lines, "\n    ") + "\n"
}
