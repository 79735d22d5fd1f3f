package region

import (
	"context"
	"fmt"

	"github.com/tarn-eks/tarn/images"
	"github.com/tarn-eks/tarn/internal/registry"
)

// eksRegistryAccount is the account that EKS's own images come from.
const eksRegistryAccount = "602401143452"

func eksImage(region, name string) string {
	return eksRegistryAccount + ".dkr.ecr." + region + ".amazonaws.com/eks/" + name
}

func pauseImage(region string) string { return eksImage(region, "pause:3.10") }

// openRegistry opens the registry, puts the embedded images into it and serves
// it on loopback.
func (r *Region) openRegistry(ctx context.Context) (string, error) {
	var err error
	r.registry, err = registry.New(registry.Config{Dir: r.layout.registry(), Account: r.identity.Account, Logger: r.logger})
	if err != nil {
		return "", fmt.Errorf("opening the registry: %w", err)
	}
	all, err := images.All()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if err := r.registry.Preload(ctx, i.Name, i.Tag, i.Image); err != nil {
			return "", err
		}
	}
	r.run("registry", serve(r.listen.registry, plainServer(r.registry)))
	return r.listen.registry.Addr().String(), nil
}
