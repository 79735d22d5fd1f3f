package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// awsClientProgram is what runs in pods that talk to AWS: the SDK with nothing
// configured but what its surroundings say. `awsclient` prints who it is and how
// many instances it sees, or the error's code and message.
func awsClientProgram() {
	if len(os.Args) > 1 && os.Args[1] == "wait" {
		ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ended.Done()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := callAWS(ctx); err != nil {
		var refused smithy.APIError
		if errors.As(err, &refused) {
			err = fmt.Errorf("%s: %s", refused.ErrorCode(), refused.ErrorMessage())
		}
		fail(err)
	}
}

func callAWS(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithEC2IMDSRegion())
	if err != nil {
		return err
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Println(*who.Arn)
	seen, err := ec2.NewFromConfig(cfg).DescribeInstances(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Println("reservations:", len(seen.Reservations))
	return nil
}

// pushSelf pushes an image of this very program, by another name.
func pushSelf(program, reference string) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	layer, err := fileLayer(path.Join("bin", program), 0o755, self)
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux",
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(img)},
		Config: v1.Config{Entrypoint: []string{"/bin/" + program}, Env: []string{"PATH=/bin", "TMPDIR=/"}},
	})
	if err != nil {
		return err
	}
	return remote.Write(tag, img)
}

func diffIDs(img v1.Image) []v1.Hash {
	config, err := img.ConfigFile()
	if err != nil {
		return nil // AppendLayers has just written it
	}
	return config.RootFS.DiffIDs
}
