package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
)

var crossOrigin = http.NewCrossOriginProtection()

// suffixes of host names that only AWS, or nobody, can point anywhere.
var suffixes = []string{".localhost", ".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".internal"}

// admit refuses what a web page in somebody's browser has sent. A page can reach
// loopback by a name of its own (DNS rebinding, which the Host header shows), or
// by a request to another origin (which the browser marks).
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request) bool {
	name := hostname(r.Host)
	_, err := netip.ParseAddr(name) // an address is nobody's name
	known := err == nil || name == "" || name == "localhost" || slices.Contains(g.cfg.Hosts, name) ||
		slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
	switch {
	case !known:
		http.Error(w, fmt.Sprintf("Tarn does not answer to the name %.100q: use an IP address, localhost or a name of AWS.", name), http.StatusForbidden)
	case crossOrigin.Check(r) != nil:
		http.Error(w, "Tarn does not take requests from web pages of other origins.", http.StatusForbidden)
	default:
		return true
	}
	return false
}

// isVisit tells somebody who looks from a client.
func isVisit(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.URL.Path == "/" &&
		r.URL.RawQuery == "" && r.Header.Get("Authorization") == ""
}

func (g *Gateway) welcome(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, `Tarn %s: a working AWS region on this machine (%s, account %s).
This is its AWS endpoint. To use it:

    eval "$(tarn env)"
    aws sts get-caller-identity

http://%s/_tarn/operations lists what there is, http://%[4]s/_tarn/health how it is.
`, g.cfg.Version, g.cfg.Region, g.cfg.Account, r.Host)
}

// newDoor is what answers below /_tarn/.
func (g *Gateway) newDoor() (http.Handler, error) {
	present, err := g.operations(false)
	if err != nil {
		return nil, err
	}
	all, err := g.operations(true)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_tarn/health", g.health)
	mux.HandleFunc("GET /_tarn/operations", func(w http.ResponseWriter, r *http.Request) {
		body := present
		if r.URL.Query().Has("all") {
			body = all
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // or the client has gone
	})
	mux.HandleFunc("POST /_tarn/reset", g.reset)
	for path, page := range g.cfg.Pages {
		mux.Handle(path, page)
	}
	nothing := func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, map[string]string{
			"message": "Here are GET /_tarn/health, GET /_tarn/operations and POST /_tarn/reset.",
		})
	}
	mux.HandleFunc("/_tarn", nothing)
	mux.HandleFunc("/_tarn/", nothing)
	return mux, nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // or the client has gone
}

func (g *Gateway) health(w http.ResponseWriter, _ *http.Request) {
	out := struct {
		Status   string   `json:"status"` // running or starting
		Message  string   `json:"message,omitempty"`
		Version  string   `json:"version"`
		Region   string   `json:"region"`
		Account  string   `json:"account"`
		Services []string `json:"services"`
	}{Status: "running", Version: g.cfg.Version, Region: g.cfg.Region, Account: g.cfg.Account, Services: []string{}}
	for _, s := range g.services {
		out.Services = append(out.Services, s.Name)
	}
	status := http.StatusOK
	if g.cfg.Ready != nil {
		if err := g.cfg.Ready(); err != nil {
			out.Status, out.Message, status = "starting", err.Error(), http.StatusServiceUnavailable
		}
	}
	answer(w, status, out)
}

// operations is the document of /_tarn/operations.
func (g *Gateway) operations(all bool) ([]byte, error) {
	type described struct {
		Name        string         `json:"name"`
		ID          string         `json:"id"`
		SigningName string         `json:"signingName"`
		Version     string         `json:"version"`
		Protocols   []api.Protocol `json:"protocols"`
		Operations  []string       `json:"operations"`
		Absent      []string       `json:"absent,omitempty"` // that AWS has
	}
	out := struct {
		Services []described `json:"services"`
	}{[]described{}}
	names := func(ops []api.Operation) []string {
		list := []string{}
		for i := range ops {
			list = append(list, ops[i].Name)
		}
		slices.Sort(list)
		return list
	}
	for _, s := range g.services {
		d := described{s.Name, s.ID, s.SigningName, s.Version, s.Protocols, names(s.Operations), nil}
		if all {
			d.Absent = names(s.Absent())
		}
		out.Services = append(out.Services, d)
	}
	b, err := json.MarshalIndent(out, "", "  ")
	return append(b, '\n'), err
}

func (g *Gateway) reset(w http.ResponseWriter, r *http.Request) {
	if g.cfg.Reset == nil {
		answer(w, http.StatusForbidden, map[string]string{
			"message": "This region does not allow it. Start it with tarn up --allow-reset.",
		})
		return
	}
	// One after the other: what a test made while another reset was under way
	// is to be gone too.
	g.resetting.Lock()
	defer g.resetting.Unlock()
	if r.Context().Err() != nil {
		return // tired of waiting
	}
	// It takes as long as it takes; without an error there is no deadline to lift.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	if err := g.cfg.Reset(r.Context()); err != nil {
		g.log.Error("resetting the region", "err", err)
		answer(w, http.StatusInternalServerError, map[string]string{"message": "The region could not be reset: " + err.Error()})
		return
	}
	g.log.Info("the region was reset", "by", r.RemoteAddr)
	answer(w, http.StatusOK, map[string]string{"status": "reset"})
}
