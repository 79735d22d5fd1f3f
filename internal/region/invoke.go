package region

import (
	"context"

	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
)

// The region makes what a cluster file describes by the AWS calls that anybody
// would make, and they are on record as anybody's.

// rootCaller is the account's root user, as which `tarn up` works.
func rootCaller(s arn.Scope, accessKeyID string) caller.Caller {
	return caller.Caller{
		Principal: policy.Principal{
			Type: policy.Root, ARN: s.Global("iam", "root"), Account: s.Account, UserID: s.Account,
		},
		AccessKeyID: accessKeyID, UserAgent: "tarn",
	}
}

// asService is a context in which calls are those of an AWS service, such as
// eks.amazonaws.com.
func asService(ctx context.Context, service string) context.Context {
	return caller.With(ctx, caller.Caller{Principal: policy.Principal{Type: policy.Service, Service: service}})
}

// invoke makes an AWS call as whom the context says, or else as root. O is the
// operation's output.
func invoke[O any](ctx context.Context, r *Region, service, operation string, input any) (*O, error) {
	as := caller.From(ctx)
	if as.Principal.Type == policy.Anonymous {
		as = r.root
	}
	out, err := r.gateway.Invoke(ctx, as, service, operation, input)
	if err != nil {
		return nil, err
	}
	return out.(*O), nil
}
