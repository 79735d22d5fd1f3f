package authenticator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the expected patches anew")

func admit(t testing.TB, h *Handler, namespace string, pod []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	var in admissionv1.AdmissionReview
	in.APIVersion, in.Kind = admissionReview.ToAPIVersionAndKind()
	in.Request = &admissionv1.AdmissionRequest{UID: "705ab4f5", Namespace: namespace, Operation: admissionv1.Create}
	in.Request.Object.Raw = pod
	out, status := ask[admissionv1.AdmissionReview](t, h, PodPath, in)
	if status != 200 || out.Request != nil || out.Response == nil || out.Response.UID != "705ab4f5" || !out.Response.Allowed {
		t.Fatalf("status %d, answer %+v", status, out)
	}
	if (out.Response.Patch == nil) != (out.Response.PatchType == nil) || out.Response.PatchType != nil && *out.Response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Errorf("patch type %v", out.Response.PatchType)
	}
	return out.Response
}

// TestPods reads pods from testdata/pods/*.yaml, whose annotation "sa" (in JSON)
// are those of the service account, and compares the patch with the .json beside.
func TestPods(t *testing.T) {
	files, err := filepath.Glob("testdata/pods/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no pods", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var pod corev1.Pod
			if err := yaml.UnmarshalStrict(text, &pod); err != nil {
				t.Fatal(err)
			}
			w := &world{sas: map[string]map[string]string{}}
			if sa := pod.Annotations["sa"]; sa != "" {
				var annotations map[string]string
				if err := json.Unmarshal([]byte(sa), &annotations); err != nil {
					t.Fatal(err)
				}
				w.sas["apps/"+pod.Spec.ServiceAccountName] = annotations
			}
			raw, err := yaml.YAMLToJSON(text)
			if err != nil {
				t.Fatal(err)
			}
			h := w.handler()
			got := admit(t, h, "apps", raw).Patch
			golden := strings.TrimSuffix(file, ".yaml") + ".json"
			if *update {
				var b bytes.Buffer
				if len(got) > 0 {
					if err := json.Indent(&b, got, "", "  "); err != nil {
						t.Fatal(err)
					}
					b.WriteByte('\n')
				}
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) == 0 {
				if got != nil {
					t.Errorf("patched: %s", got)
				}
				return
			}
			var gotSteps, wantSteps any
			if json.Unmarshal(got, &gotSteps) != nil || json.Unmarshal(want, &wantSteps) != nil {
				t.Fatalf("no JSON: %s", got)
			}
			if diff := cmp.Diff(wantSteps, gotSteps); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}

			// It fits the pod, and what comes out needs nothing more.
			steps, err := jsonpatch.DecodePatch(got)
			if err != nil {
				t.Fatal(err)
			}
			patched, err := steps.Apply(raw)
			if err != nil {
				t.Fatal(err)
			}
			if again := admit(t, h, "apps", patched).Patch; again != nil {
				t.Errorf("the second time: %s", again)
			}
		})
	}
}

func TestPodWithoutServiceAccount(t *testing.T) {
	h := (&world{}).handler()
	h.cfg.ServiceAccount = func(context.Context, string, string) (map[string]string, error) {
		return nil, errors.New("connection refused")
	}
	got := admit(t, h, "apps", []byte(`{"spec":{"serviceAccountName":"app","containers":[{"name":"a"}]}}`))
	if len(got.Warnings) != 1 || got.Warnings[0] != "the pod gets no AWS role: looking up service account apps/app: connection refused" {
		t.Errorf("warnings %q", got.Warnings)
	}
	if !strings.Contains(string(got.Patch), endpointVariable) {
		t.Errorf("patch %s", got.Patch)
	}
}

func FuzzPod(f *testing.F) {
	h := (&world{}).handler()
	f.Add(`{"spec":{"containers":[{"name":"a","env":[{"name":"AWS_REGION"}]}],"initContainers":[{"name":"b"}],"volumes":[]}}`, "3600", "a,b", "false")
	f.Fuzz(func(t *testing.T, pod, expiration, skip, regional string) {
		var p corev1.Pod
		if json.Unmarshal([]byte(pod), &p) != nil {
			return
		}
		raw, err := json.Marshal(p)
		if err != nil {
			return
		}
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[annotationSkip] = skip
		role := roleFrom(map[string]string{annotationRole: roleARN, annotationExpiration: expiration, annotationRegional: regional})
		if role.expiration < minExpiration {
			t.Fatalf("%d seconds", role.expiration)
		}
		operations := h.cfg.patch(&p, role)
		if len(operations) == 0 {
			return
		}
		text, err := json.Marshal(operations)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := jsonpatch.DecodePatch(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := steps.Apply(raw); err != nil {
			t.Fatalf("%s does not fit %s: %v", text, raw, err)
		}
	})
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
