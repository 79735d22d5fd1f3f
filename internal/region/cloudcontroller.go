package region

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/service/sts"
)

// cloudCredentials is the way by which a control plane's cloud controller manager
// gets credentials: the one that containers have on AWS. It is on the loopback of
// the VPC's router, where no instance and no pod comes.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
type cloudCredentials struct {
	cluster string
	url     string
	token   string
}

// serveCloudCredentials starts to hand out credentials of a cluster's role.
func (r *Region) serveCloudCredentials(ctx, background context.Context, n *network, p *controlPlane) (cloudCredentials, error) {
	l, err := n.vpc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return cloudCredentials{}, fmt.Errorf("listening for the cloud controller manager of %s: %w", p.config.Name, err)
	}
	c := cloudCredentials{cluster: p.config.Name, url: "http://" + l.Addr().String() + "/credentials", token: rand.Text()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /credentials", func(w http.ResponseWriter, request *http.Request) { r.giveCloudCredentials(w, request, c) })
	r.runUntil(background, &p.tasks, "credentials of cluster "+p.config.Name, serve(l, plainServer(mux)))
	return c, nil
}

// environment is what the AWS SDK reads. It asks no metadata service: a control
// plane is no instance.
func (c cloudCredentials) environment(region, endpoint string) []string {
	return append(os.Environ(),
		"AWS_REGION="+region,
		"AWS_ENDPOINT_URL="+endpoint,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI="+c.url,
		"AWS_CONTAINER_AUTHORIZATION_TOKEN="+c.token,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", // the user's own are for AWS
		"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=", "AWS_PROFILE=",
		"GODEBUG=", // what load balancers' old clients need, an API server does not
	)
}

// giveCloudCredentials answers with credentials of the role that the cluster has
// now, as EKS takes it on for the control plane.
func (r *Region) giveCloudCredentials(w http.ResponseWriter, request *http.Request, c cloudCredentials) {
	if subtle.ConstantTimeCompare([]byte(request.Header.Get("Authorization")), []byte(c.token)) != 1 {
		http.Error(w, "the authorization token is wrong", http.StatusUnauthorized)
		return
	}
	have, err := r.eks.Clusters.Get(request.Context(), c.cluster)
	var given sts.Credentials
	if err == nil {
		given, err = r.rotating.Session(request.Context(), sts.Session{
			RoleARN: have.Value.RoleARN, Name: "eks-" + c.cluster, Service: "eks.amazonaws.com",
		})
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		r.logger.Warn("the cloud controller manager gets no credentials", "cluster", c.cluster, "error", err)
		w.WriteHeader(http.StatusBadRequest) // not 5xx, which SDKs ask again at once
		_ = json.NewEncoder(w).Encode(map[string]string{"code": api.Code(err), "message": err.Error()})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{
		"AccessKeyId": given.AccessKeyID, "SecretAccessKey": given.SecretAccessKey, "Token": given.SessionToken,
		"Expiration": given.Expires.Format(time.RFC3339), "RoleArn": have.Value.RoleARN,
	})
}
