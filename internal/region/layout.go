package region

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// DefaultDataDir is where a region keeps its state unless told otherwise.
const DefaultDataDir = "/var/lib/tarn"

// layout is the state directory.
type layout string

func (l layout) etcd() string               { return filepath.Join(string(l), "etcd") }
func (l layout) registry() string           { return filepath.Join(string(l), "registry") }
func (l layout) identity() string           { return filepath.Join(string(l), "region.json") }
func (l layout) credentials() string        { return filepath.Join(string(l), "credentials") }
func (l layout) sessionKey() string         { return filepath.Join(string(l), "session.key") }
func (l layout) authority() string          { return filepath.Join(string(l), "ca") }
func (l layout) baseline() string           { return filepath.Join(string(l), "baseline.json") }
func (l layout) mail() string               { return filepath.Join(string(l), "mail") }
func (l layout) buckets() string            { return filepath.Join(string(l), "s3") }
func (l layout) metrics() string            { return filepath.Join(string(l), "metrics") }
func (l layout) trail() string              { return filepath.Join(string(l), "log", "trail.json") }
func (l layout) kubeconfig() string         { return filepath.Join(string(l), "kubeconfig") }
func (l layout) cluster(name string) string { return filepath.Join(string(l), "clusters", name) }
func (l layout) instance(id string) string  { return filepath.Join(string(l), "instances", id) }
func (l layout) log(name string) string     { return filepath.Join(string(l), "log", name+".log") }

// Kubeconfig is the kubeconfig of the region's cluster.
func Kubeconfig(dataDir string) string { return layout(dataDir).kubeconfig() }

// CAFile is the certificate that browsers must trust for those of ACM.
func CAFile(dataDir string) string { return filepath.Join(layout(dataDir).authority(), "root.crt") }

// TrailFile is the record of the AWS calls of a state directory.
func TrailFile(dataDir string) string { return layout(dataDir).trail() }

// LogFile is the log of the region process of a state directory.
func LogFile(dataDir string) string { return layout(dataDir).log("region") }

// What run holds is gone after `tarn down`.
func (l layout) run() string                  { return filepath.Join(string(l), "run") }
func (l layout) controllers() string          { return filepath.Join(l.run(), "cgroup.controllers") }
func (l layout) lock() string                 { return filepath.Join(l.run(), "lock") }
func (l layout) controlSocket() string        { return filepath.Join(l.run(), "tarn.sock") }
func (l layout) etcdSocket() string           { return filepath.Join(l.run(), "etcd.sock") }
func (l layout) childLock(name string) string { return filepath.Join(l.run(), name+".lock") }

// namespaces is a private mount that pins the region's namespaces.
func (l layout) namespaces() string { return filepath.Join(l.run(), "ns") }
func (l layout) namespace(name, kind string) string {
	return filepath.Join(l.namespaces(), name+"."+kind)
}

// cgroup is the region's own cgroup below the root of each hierarchy; the
// directory's name is in it, so that two regions do not meet.
func (l layout) cgroup() string {
	sum := sha256.Sum256([]byte(l))
	return "tarn-" + hex.EncodeToString(sum[:4])
}
