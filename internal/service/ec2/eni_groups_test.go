package ec2

import (
	"errors"
	"slices"
	"testing"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

func TestSetInterfaceGroups(t *testing.T) {
	s, err := New(Config{Client: storetest.Open(t).Client(), Account: "000000000000", Region: "ap-northeast-2"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, id := range []string{"sg-1", "sg-2"} {
		if _, err := s.SecurityGroups.Create(ctx, id, SecurityGroup{ID: id, VPC: "vpc-1"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Subnets.Create(ctx, "subnet-1", Subnet{ID: "subnet-1", VPC: "vpc-1"}); err != nil {
		t.Fatal(err)
	}
	made, err := s.ENIs.Create(ctx, "eni-1", NetworkInterface{ID: "eni-1", VPC: "vpc-1", Subnet: "subnet-1", SecurityGroups: []string{"sg-1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetInterfaceGroups(ctx, "eni-1", []string{"sg-1"}); err != nil {
		t.Error(err)
	}
	if got, err := s.ENIs.Get(ctx, "eni-1"); err != nil || got.Revision != made.Revision {
		t.Errorf("it was written without need: %+v, %v", got, err)
	}
	if err := s.SetInterfaceGroups(ctx, "eni-1", []string{"sg-2", "sg-1"}); err != nil {
		t.Error(err)
	}
	if err := s.SetInterfaceGroups(ctx, "eni-1", []string{"sg-9"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a group that does not exist: %v", err)
	}
	if err := s.SetInterfaceGroups(ctx, "eni-9", []string{"sg-1"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an interface that does not exist: %v", err)
	}
	if got, err := s.ENIs.Get(ctx, "eni-1"); err != nil || !slices.Equal(got.Value.SecurityGroups, []string{"sg-2", "sg-1"}) {
		t.Errorf("%+v, %v", got, err)
	}
}
