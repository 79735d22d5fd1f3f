package ec2

import ec2api "github.com/tarn-eks/tarn/internal/api/ec2"

var _ ec2api.Handler = (*Service)(nil)
