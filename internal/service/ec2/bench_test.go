package ec2_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/wire"
)

// BenchmarkDescribeInstances is a request for 100 nodes of 17 pods, from the bytes
// of the request to those of the response. The target is 3 ms.
func BenchmarkDescribeInstances(b *testing.B) {
	s, home := withVPC(b, "ap-northeast-2", "192.168.0.0/16")
	_, err := s.Launch(b.Context(), ec2.LaunchInput{
		Type: "t3.medium", Subnet: home.ID, Count: 100, UserData: []byte(nodeConfig), Profile: "nodes",
		Bootstrap: ec2.Bootstrap{Cluster: "eks-work", Nodegroup: "g", Labels: map[string]string{"eks.amazonaws.com/nodegroup": "g"}},
		Tags:      map[string]string{"Name": "eks-work-g-Node", "eks:cluster-name": "eks-work", "kubernetes.io/cluster/eks-work": "owned"},
	})
	if err != nil {
		b.Fatal(err)
	}
	w := wire.New(wire.Config{API: ec2api.Service})
	body := &buffered{header: http.Header{}}
	for b.Loop() {
		r := httptest.NewRequest("POST", "/", strings.NewReader("Action=DescribeInstances&Version=2016-11-15"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req, err := w.Parse(r)
		if err != nil {
			b.Fatal(err)
		}
		out, err := req.Op.Call(b.Context(), s, req.Input)
		if err != nil {
			b.Fatal(err)
		}
		body.Reset()
		if err := req.Protocol.WriteOutput(body, req.Op, out, "request"); err != nil {
			b.Fatal(err)
		}
	}
	if n := bytes.Count(body.Bytes(), []byte("<instanceId>")); n != 100 {
		b.Fatalf("%d instances", n)
	}
}

// buffered is a response that is written again and again.
type buffered struct {
	bytes.Buffer
	header http.Header
}

func (b *buffered) Header() http.Header { return b.header }
func (b *buffered) WriteHeader(int)     {}
