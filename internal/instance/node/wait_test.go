package node

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// recovering is containerd as it comes up: it accepts connections, and refuses the
// first calls while it looks for what ran before.
type recovering struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	refuse int32
	asked  atomic.Int32
}

func (r *recovering) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	if r.asked.Add(1) <= r.refuse {
		return nil, status.Error(codes.Unavailable, "server is not initialized yet: unavailable")
	}
	return &runtimeapi.VersionResponse{RuntimeName: "containerd"}, nil
}

func serve(t *testing.T, r *recovering) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(s, r)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return socket
}

func TestWaitForRuntime(t *testing.T) {
	r := &recovering{refuse: 3}
	if err := waitForRuntime(t.Context(), serve(t, r), make(chan error)); err != nil || r.asked.Load() != 4 {
		t.Errorf("asked %d times: %v", r.asked.Load(), err)
	}
}

func TestWaitForRuntimeThatEnds(t *testing.T) {
	gone := errors.New("containerd: ended by itself")
	ended := make(chan error, 1)
	ended <- gone
	if err := waitForRuntime(t.Context(), filepath.Join(t.TempDir(), "nothing"), ended); !errors.Is(err, gone) {
		t.Error(err)
	}
}
