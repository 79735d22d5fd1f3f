package authenticator

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// What the webhook of EKS is told by annotations, and what it makes of them.
const (
	annotationRole       = "eks.amazonaws.com/role-arn"
	annotationAudience   = "eks.amazonaws.com/audience"
	annotationRegional   = "eks.amazonaws.com/sts-regional-endpoints"
	annotationExpiration = "eks.amazonaws.com/token-expiration"
	annotationSkip       = "eks.amazonaws.com/skip-containers"

	defaultAudience   = "sts.amazonaws.com"
	defaultExpiration = 86400 // seconds; the longest that EKS allows
	minExpiration     = 3600  // the shortest that the webhook asks for

	volumeName = "aws-iam-token"
	mountPath  = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
	tokenFile  = "token"

	endpointVariable = "AWS_ENDPOINT_URL"
	// The SDK for Go asks STS for a web identity's credentials before it has read
	// the variable above.
	stsEndpointVariable = "AWS_ENDPOINT_URL_STS"
	tokenFileVariable   = "AWS_WEB_IDENTITY_TOKEN_FILE"
)

// reviewPod gives a new pod the role of its service account, and the region's
// endpoint, so that images which know nothing of Tarn find it.
func (h *Handler) reviewPod(ctx context.Context, review *admissionv1.AdmissionReview) error {
	request := review.Request
	if request == nil {
		return errors.New("the AdmissionReview holds no request")
	}
	review.Request = nil
	review.Response = &admissionv1.AdmissionResponse{UID: request.UID, Allowed: true}
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return fmt.Errorf("decoding the pod to be admitted: %w", err)
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return nil // it shows a pod that already runs from a file on the node
	}
	role, err := h.serviceAccountRole(ctx, request.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		h.cfg.Logger.Warn("pod admitted without looking for its role", "namespace", request.Namespace,
			"pod", pod.Name+pod.GenerateName, "serviceaccount", pod.Spec.ServiceAccountName, "err", err)
		review.Response.Warnings = []string{"the pod gets no AWS role: " + err.Error()}
	}
	operations := h.cfg.patch(&pod, role)
	if len(operations) == 0 {
		return nil
	}
	if review.Response.Patch, err = json.Marshal(operations); err != nil {
		return fmt.Errorf("encoding the pod's patch: %w", err)
	}
	review.Response.PatchType = new(admissionv1.PatchTypeJSONPatch)
	return nil
}

// podRole is what a service account's annotations ask for. The zero value is
// nothing.
type podRole struct {
	arn        string
	audience   string
	regional   bool
	expiration int64 // seconds
}

func (h *Handler) serviceAccountRole(ctx context.Context, namespace, name string) (podRole, error) {
	if name == "" {
		return podRole{}, nil
	}
	annotations, err := h.cfg.ServiceAccount(ctx, namespace, name)
	if apierrors.IsNotFound(err) {
		return podRole{}, nil
	}
	if err != nil {
		return podRole{}, fmt.Errorf("looking up service account %s/%s: %w", namespace, name, err)
	}
	return roleFrom(annotations), nil
}

// roleFrom reads annotations; values that cannot be read count as not there.
func roleFrom(annotations map[string]string) podRole {
	r := podRole{arn: annotations[annotationRole], audience: defaultAudience, regional: true, expiration: defaultExpiration}
	if v, ok := annotations[annotationAudience]; ok {
		r.audience = v
	}
	if v, err := strconv.ParseBool(annotations[annotationRegional]); err == nil {
		r.regional = v
	}
	r.expiration = expirationFrom(annotations, r.expiration)
	return r
}

func expirationFrom(annotations map[string]string, otherwise int64) int64 {
	v, err := strconv.ParseInt(annotations[annotationExpiration], 10, 64)
	if err != nil {
		return otherwise
	}
	return max(v, minExpiration)
}

// operation is a step of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch is what is to be done to a pod; nil if it has all already. The pod is not
// changed. The steps are those of EKS's webhook: the volume, then the lists of
// containers as a whole.
func (c *Config) patch(pod *corev1.Pod, role podRole) []operation {
	var steps []operation
	if role.arn != "" {
		role.expiration = expirationFrom(pod.Annotations, role.expiration)
		if step, needed := volumeStep(pod, role); needed {
			steps = append(steps, step)
		}
	}
	skip := skipped(pod)
	windows := pod.Spec.NodeSelector[corev1.LabelOSStable] == "windows" || pod.Spec.NodeSelector["beta.kubernetes.io/os"] == "windows"
	for _, list := range []struct {
		path       string
		containers []corev1.Container
	}{{"/spec/containers", pod.Spec.Containers}, {"/spec/initContainers", pod.Spec.InitContainers}} {
		changed := false
		out := make([]corev1.Container, 0, len(list.containers))
		for i := range list.containers {
			container := list.containers[i]
			if role.arn != "" && !slices.Contains(skip, container.Name) {
				changed = c.addRole(&container, role, windows) || changed
			}
			changed = c.addEndpoint(&container) || changed
			out = append(out, container)
		}
		if changed {
			steps = append(steps, operation{"add", list.path, out})
		}
	}
	return steps
}

// skipped are the containers that the pod keeps its role from: names, separated by
// commas as in CSV.
func skipped(pod *corev1.Pod) []string {
	names, err := csv.NewReader(strings.NewReader(pod.Annotations[annotationSkip])).Read()
	if err != nil {
		return nil
	}
	return names
}

func volumeStep(pod *corev1.Pod, role podRole) (step operation, needed bool) {
	if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volumeName }) {
		return operation{}, false
	}
	volume := corev1.Volume{Name: volumeName, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
			Audience: role.audience, ExpirationSeconds: &role.expiration, Path: tokenFile,
		}}},
	}}}
	if len(pod.Spec.Volumes) == 0 {
		return operation{"add", "/spec/volumes", []corev1.Volume{volume}}, true
	}
	return operation{"add", "/spec/volumes/0", volume}, true
}

// addRole gives a container the variables and the token. What the pod sets itself
// stays; so do all of a pair if it sets one.
func (c *Config) addRole(container *corev1.Container, role podRole, windows bool) (changed bool) {
	file := path.Join(mountPath, tokenFile)
	if windows {
		file = "C:" + strings.ReplaceAll(file, "/", `\`)
	}
	add := func(env ...corev1.EnvVar) {
		if !slices.ContainsFunc(env, func(e corev1.EnvVar) bool { return hasVariable(container, e.Name) }) {
			container.Env = slices.Concat(container.Env, env)
			changed = true
		}
	}
	if role.regional {
		add(corev1.EnvVar{Name: "AWS_STS_REGIONAL_ENDPOINTS", Value: "regional"})
	}
	if c.Region != "" {
		add(corev1.EnvVar{Name: "AWS_DEFAULT_REGION", Value: c.Region}, corev1.EnvVar{Name: "AWS_REGION", Value: c.Region})
	}
	add(corev1.EnvVar{Name: "AWS_ROLE_ARN", Value: role.arn}, corev1.EnvVar{Name: tokenFileVariable, Value: file})
	if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volumeName }) {
		container.VolumeMounts = slices.Concat(container.VolumeMounts, []corev1.VolumeMount{{Name: volumeName, ReadOnly: true, MountPath: mountPath}})
		changed = true
	}
	return changed
}

// addEndpoint is Tarn's own: on AWS, the SDKs' default leads to the region.
func (c *Config) addEndpoint(container *corev1.Container) (changed bool) {
	if c.Endpoint == "" || hasVariable(container, endpointVariable) {
		return false
	}
	endpoint := []corev1.EnvVar{{Name: endpointVariable, Value: c.Endpoint}}
	if hasVariable(container, tokenFileVariable) && !hasVariable(container, stsEndpointVariable) {
		endpoint = append(endpoint, corev1.EnvVar{Name: stsEndpointVariable, Value: c.Endpoint})
	}
	container.Env = slices.Concat(container.Env, endpoint)
	return true
}

func hasVariable(container *corev1.Container, name string) bool {
	return slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == name })
}
