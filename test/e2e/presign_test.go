package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
)

// presignProgram is `presign [-ago DURATION] [-lasts DURATION] SERVICE URL` in the
// scripts: it signs a GET with the keys in the environment, as a clock would that
// is behind, and prints the URL.
func presignProgram() {
	ago := flag.Duration("ago", 0, "how long ago it is signed")
	lasts := flag.Duration("lasts", 15*time.Minute, "how long it is valid")
	flag.Parse()
	url, err := presign(context.Background(), flag.Arg(0), flag.Arg(1), time.Now().Add(-*ago), *lasts)
	if err != nil {
		fail(err)
	}
	fmt.Println(url)
}

func presign(ctx context.Context, service, url string, at time.Time, lasts time.Duration) (string, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return "", err
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	query := request.URL.Query()
	query.Set("X-Amz-Expires", strconv.Itoa(int(lasts.Seconds())))
	request.URL.RawQuery = query.Encode()
	nothing := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, keys, request, hex.EncodeToString(nothing[:]), service, cfg.Region, at)
	return signed, err
}
