package ecr

import (
	"encoding/json"
	"slices"
)

// Media types of manifests.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
)

var manifestTypes = []string{dockerManifest, dockerList, ociManifest, ociIndex}

// descriptor is what a manifest says of something that it names.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// manifest is what is read of a manifest of any of the four types.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType"`
	Config        *descriptor  `json:"config"`
	Layers        []descriptor `json:"layers"`
	Manifests     []descriptor `json:"manifests"`
}

// readManifest reads a manifest; ok is false for what is none. One that does
// not tell its type, as OCI allows, has the one that it looks like.
func readManifest(raw []byte) (m manifest, ok bool) {
	if json.Unmarshal(raw, &m) != nil || m.SchemaVersion != 2 {
		return manifest{}, false
	}
	switch {
	case m.MediaType != "":
	case m.Manifests != nil:
		m.MediaType = ociIndex
	default:
		m.MediaType = ociManifest
	}
	return m, slices.Contains(manifestTypes, m.MediaType)
}

// isList says whether the manifest names other manifests.
func (m manifest) isList() bool { return m.MediaType == ociIndex || m.MediaType == dockerList }

// size is that of the layers, compressed as they are stored, in bytes.
func (m manifest) size() int64 {
	var n int64
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// artifact is the type of what the manifest describes; "" if it does not tell.
func (m manifest) artifact() string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}
