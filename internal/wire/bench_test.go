package wire

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/api/ec2"
)

func BenchmarkParseQuery(b *testing.B) {
	for b.Loop() {
		if _, err := services["ec2"].Parse(request(form + "Action=DescribeInstances&Filter.1.Name=tag%3AName&Filter.1.Value.1=a&InstanceId.1=i-1")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteInstances(b *testing.B) {
	out := &ec2.DescribeInstancesOutput{}
	for i := range 100 {
		instance := ec2.Instance{
			InstanceId: new(fmt.Sprintf("i-%017d", i)), ImageId: new("ami-0123456789abcdef0"), LaunchTime: new(time.Now()),
			State: &ec2.InstanceState{Code: new(int32(16)), Name: "running"}, InstanceType: "t3.medium",
			PrivateDnsName: new("ip-192-168-1-2.ap-northeast-2.compute.internal"), PrivateIpAddress: new("192.168.1.2"),
			VpcId: new("vpc-1"), SubnetId: new("subnet-1"), Placement: &ec2.Placement{AvailabilityZone: new("ap-northeast-2a")},
		}
		for j := range 8 {
			instance.Tags = append(instance.Tags, ec2.Tag{Key: new(fmt.Sprintf("kubernetes.io/key-%d", j)), Value: new("owned")})
		}
		out.Reservations = append(out.Reservations, ec2.Reservation{ReservationId: new("r-1"), Instances: []ec2.Instance{instance}})
	}
	s := services["ec2"]
	p := Protocol{name: api.EC2Query, service: s}
	for b.Loop() {
		if err := p.WriteOutput(httptest.NewRecorder(), s.Lookup("DescribeInstances"), out, "id"); err != nil {
			b.Fatal(err)
		}
	}
}
