// Package hostdns makes the system's own resolver find the names that a region
// hosts, when a user asks for it: by systemd-resolved, which then asks the
// region's DNS server for the region's zones, or else by a marked block in
// /etc/hosts. It keeps to files of its own and to its block, and takes plain
// values: what is hosted, and where, is decided by its callers.
package hostdns

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// State is what a region hosts, as the control socket tells it too.
type State struct {
	// Address is where the region's DNS server answers the host. It must refuse
	// names outside of Zones: older resolved asks it for those as well.
	Address netip.AddrPort `json:"address"`
	Zones   []string       `json:"zones"`
	// Hosts are the names that lead to load balancers, and their addresses.
	Hosts map[string]netip.Addr `json:"hosts"`
}

func (s State) check() error {
	if !s.Address.IsValid() {
		return errors.New("the region does not say where its DNS server is: `tarn down` and `tarn up` start it anew")
	}
	return nil
}

// Mechanism is a way to have names resolved.
type Mechanism string

// The mechanisms.
const (
	// Delegate is a delegation of systemd-resolved 258 and later.
	Delegate Mechanism = "delegate"
	// DropIn is a global server of systemd-resolved with routing-only domains.
	DropIn Mechanism = "drop-in"
	// HostsFile is a block in /etc/hosts.
	HostsFile Mechanism = "hosts"
)

// Result is what Install has done.
type Result struct {
	Mechanism Mechanism
	File      string
	// Why says why systemd-resolved could not be used.
	Why string
	// Names are the zones that systemd-resolved asks for, or the hosts in the block.
	Names []string
	// LeftOut are zones and hosts that the mechanism cannot take: wildcards, for
	// one, in /etc/hosts.
	LeftOut []string
}

// Config is what a Host is made of.
type Config struct {
	// DataDir is the region's state directory. It names the region on this
	// machine, and holds the marker.
	DataDir string
	// Root is where the system's files are; / when empty.
	Root string
	// Run runs a program and returns its output; [exec.Cmd] when nil.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// Host is the machine's resolver, for one region.
type Host struct {
	dataDir, root string
	run           func(ctx context.Context, name string, args ...string) ([]byte, error)

	mu     sync.Mutex // guards the field below, and orders what changes files
	reload bool       // resolved has not read yet what was written
}

// New makes a Host. It changes nothing yet.
func New(c Config) *Host {
	h := &Host{dataDir: filepath.Clean(c.DataDir), root: c.Root, run: c.Run}
	if h.root == "" {
		h.root = "/"
	}
	if h.run == nil {
		h.run = run
	}
	return h
}

func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		command := strings.Join(append([]string{name}, args...), " ")
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			return out, fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(string(exit.Stderr)))
		}
		return out, fmt.Errorf("%s: %w", command, err)
	}
	return out, nil
}

// marker is kept in the state directory while the names are installed.
type marker struct {
	Mechanism Mechanism `json:"mechanism"`
}

func (h *Host) markerFile() string { return filepath.Join(h.dataDir, "hostdns.json") }

// Installed says whether Install was called, and Uninstall was not since.
func (h *Host) Installed() bool {
	_, err := os.Stat(h.markerFile())
	return err == nil
}

// Install has the system resolve what the region hosts, now and, by Sync, later.
// It may be called again: it then chooses the mechanism anew.
func (h *Host) Install(ctx context.Context, s State) (Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	unlock, err := h.lock()
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if err := s.check(); err != nil {
		return Result{}, err
	}
	var r Result
	if r.Mechanism, r.Why, err = h.choose(ctx, s.Address); err != nil {
		return Result{}, err
	}
	// The marker comes first: what is half done is undone by Uninstall.
	data, err := json.Marshal(marker{r.Mechanism})
	if err != nil {
		return Result{}, err
	}
	if err := replace(h.markerFile(), append(data, '\n')); err != nil {
		return Result{}, err
	}
	d := h.want(r.Mechanism, s)
	// An earlier attempt may have written the files and failed after that.
	h.reload = h.reload || r.Mechanism != HostsFile
	if _, err := h.apply(ctx, d); err != nil {
		return Result{}, err
	}
	r.File, r.Names, r.LeftOut = d.file, d.names, d.leftOut
	return r, nil
}

// Uninstall undoes Install. It returns the files that it has changed; there are
// none when nothing was installed. The state directory may be gone.
func (h *Host) Uninstall(ctx context.Context) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	unlock, err := h.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if m, err := h.read(); err == nil {
		h.reload = h.reload || m.Mechanism == Delegate || m.Mechanism == DropIn
	}
	changed, err := h.apply(ctx, desired{})
	if err != nil {
		return changed, err
	}
	if err := os.Remove(h.markerFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	return changed, nil
}

// Sync brings what Install has begun to what the region hosts now. It does
// nothing when nothing is installed, and writes nothing when nothing has changed.
func (h *Host) Sync(ctx context.Context, s State) error {
	if !h.Installed() {
		return nil
	}
	if err := s.check(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	m, err := h.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // uninstalled while this waited
	}
	if err != nil {
		return err
	}
	_, err = h.apply(ctx, h.want(m.Mechanism, s))
	return err
}

func (h *Host) read() (marker, error) {
	var m marker
	data, err := os.ReadFile(h.markerFile())
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("reading %s (`tarn dns install` writes it anew): %w", h.markerFile(), err)
	}
	return m, nil
}

// lock keeps commands and regions from changing the system's files at once.
func (h *Host) lock() (unlock func(), err error) {
	etc := filepath.Join(h.root, "etc")
	dir, err := os.Open(etc)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if err == nil {
			return func() { dir.Close() }, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", etc, err), dir.Close())
		}
	}
}

// desired is what is to be in the system's files. Its zero value is nothing.
type desired struct {
	file           string // the one that names are in
	names, leftOut []string
	own            map[string][]byte // files of the region's own, by path
	block          []byte            // lines in /etc/hosts
}

// ownFiles are all that a region may have.
func (h *Host) ownFiles() []string {
	return []string{h.delegateFile(), h.dropInFile()}
}

// name is what the region's files are called.
func (h *Host) name() string {
	sum := sha256.Sum256([]byte(h.dataDir))
	return "tarn-" + hex.EncodeToString(sum[:4])
}

func (h *Host) hostsFile() string { return filepath.Join(h.root, "etc", "hosts") }

// want is what the files are to say.
func (h *Host) want(m Mechanism, s State) desired {
	if m == HostsFile {
		d := desired{file: h.hostsFile()}
		d.block, d.names, d.leftOut = hostLines(s.Hosts)
		return d
	}
	zones, leftOut := routable(s.Zones)
	d := desired{names: zones, leftOut: leftOut, file: h.dropInFile()}
	section := "Resolve"
	if m == Delegate {
		d.file, section = h.delegateFile(), "Delegate"
	}
	// A server without domains would be asked for everything.
	if len(zones) > 0 {
		d.own = map[string][]byte{d.file: resolvedConf(section, title(h.dataDir), s.Address, zones)}
	}
	return d
}

// apply makes the files so, and has resolved read its own when they changed.
func (h *Host) apply(ctx context.Context, d desired) (changed []string, err error) {
	for _, path := range h.ownFiles() {
		have, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return changed, err
		}
		there := err == nil
		content, wanted := d.own[path]
		switch {
		case wanted && (!there || string(have) != string(content)):
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return changed, err
			}
			err = replace(path, content)
		case !wanted && there:
			err = os.Remove(path)
		default:
			continue
		}
		if err != nil {
			return changed, err
		}
		h.reload = true
		changed = append(changed, path)
	}
	if h.reload {
		if err := h.reloadResolved(ctx); err != nil {
			return changed, err
		}
		h.reload = false
	}
	hosts := h.hostsFile()
	have, err := os.ReadFile(hosts)
	if errors.Is(err, fs.ErrNotExist) && len(d.block) == 0 {
		return changed, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	if want := splice(have, title(h.dataDir), d.block); string(want) != string(have) {
		if err := replace(hosts, want); err != nil {
			return changed, err
		}
		changed = append(changed, hosts)
	}
	return changed, nil
}

// routable are the zones that a resolver is to be sent here for, sorted, and
// those that it cannot be told of. Zones under localhost are in neither: every
// resolver answers those itself.
func routable(zones []string) (take, leftOut []string) {
	set := map[string]bool{}
	for _, z := range zones {
		switch name := normal(z); {
		case underLocalhost(name):
		case hostName(name):
			set[name] = true
		default:
			leftOut = append(leftOut, z)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !underAny(name, set) {
			take = append(take, name)
		}
	}
	slices.Sort(leftOut)
	return take, leftOut
}

// underAny says whether a parent of a zone is in the set, and leads here already.
func underAny(zone string, set map[string]bool) bool {
	for {
		_, parent, more := strings.Cut(zone, ".")
		if !more {
			return false
		}
		if set[parent] {
			return true
		}
		zone = parent
	}
}

func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func underLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// hostName says whether a name can stand in the files: what else a DNS name may
// hold would be read as something else there.
func hostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return false
			}
		}
	}
	return true
}
