package registry

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// origin is the registry that a client means.
type origin struct {
	host    string // "" for the region's own registry
	account string // of an ECR name; "" when the client gave none
}

var ecrHost = regexp.MustCompile(`^([0-9]{12})\.dkr(?:\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?|-ecr(?:-fips)?\.[a-z0-9-]+\.on\.aws)(?::443)?$`)

// hostName is the grammar of a registry's name in an image reference.
var hostName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?$`)

// originOf finds the registry that a request is for. containerd, sent here for
// every registry by its `_default` configuration, says in ns which one the
// image's name begins with; other clients have only the Host header, and what
// they push to on loopback is the region's own registry.
func originOf(host, ns string) (origin, error) {
	if ns == "" {
		if m := ecrHost.FindStringSubmatch(strings.ToLower(host)); m != nil {
			return origin{account: m[1]}, nil
		}
		return origin{}, nil
	}
	ns = strings.ToLower(ns)
	if m := ecrHost.FindStringSubmatch(ns); m != nil {
		return origin{account: m[1]}, nil
	}
	if len(ns) > 253 || !hostName.MatchString(ns) {
		return origin{}, fmt.Errorf("%q is not the name of a registry", ns)
	}
	switch ns {
	case "index.docker.io", "registry-1.docker.io":
		ns = "docker.io"
	}
	return origin{host: ns}, nil
}

// ownName is the repository of the region's own registry that holds images
// loaded under a name of the registry host: docker.io/library/nginx.
func ownName(host, repository string) string {
	if host == "" {
		return repository
	}
	return strings.ReplaceAll(host, ":", "_") + "/" + repository
}

// isHere says whether host is this machine or its link, from where nothing is
// pulled: an image must not make the region talk to the host's own services.
func isHere(host string) bool {
	name := host
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		name = host[:i]
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && (addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified())
}

// target is what a path of the distribution API names.
type target struct {
	repository string // "" for /v2/ and the catalogue
	kind       string // manifests, blobs, uploads, tags, referrers
	ref        string // a tag, a digest, or an upload's id
}

// parsePath reads a path of the distribution API. A repository may have
// components called manifests or blobs, so the path is read from its end.
func parsePath(path string) (target, bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return target{}, path == "/v2"
	}
	if rest == "" || rest == "_catalog" {
		return target{}, true
	}
	parts := strings.Split(rest, "/")
	n := len(parts)
	var t target
	var name []string
	switch {
	case n >= 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads": // a slash or an id follows
		t, name = target{kind: "uploads", ref: parts[n-1]}, parts[:n-3]
	case n >= 3 && parts[n-2] == "blobs" && parts[n-1] == "uploads":
		t, name = target{kind: "uploads"}, parts[:n-2]
	case n >= 3 && parts[n-2] == "tags" && parts[n-1] == "list":
		t, name = target{kind: "tags"}, parts[:n-2]
	case n >= 3 && (parts[n-2] == "manifests" || parts[n-2] == "blobs" || parts[n-2] == "referrers"):
		t, name = target{kind: parts[n-2], ref: parts[n-1]}, parts[:n-2]
	default:
		return target{}, false
	}
	t.repository = strings.Join(name, "/")
	if _, err := reference.WithName(t.repository); err != nil {
		return target{}, false
	}
	return t, true
}

// path is the inverse of parsePath, for another repository or reference.
func (t target) path() string {
	switch t.kind {
	case "":
		return "/v2/"
	case "tags":
		return "/v2/" + t.repository + "/tags/list"
	case "uploads":
		return "/v2/" + t.repository + "/blobs/uploads/" + t.ref
	}
	return "/v2/" + t.repository + "/" + t.kind + "/" + t.ref
}
