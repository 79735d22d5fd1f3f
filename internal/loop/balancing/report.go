package balancing

import (
	"errors"
)

// work is what a round has come to.
type work struct {
	failed   map[string][]error // by load balancer; it is tried again
	problems []Problem          // it waits until something changes
}

func (w *work) fail(name string, err error) {
	if err != nil {
		w.failed[name] = append(w.failed[name], err)
	}
}

// report logs what has changed about failures, and says whether anything is to be
// tried again.
func (l *Loop) report(s State, w *work) (again bool) {
	all := map[string][]error{}
	for _, p := range w.problems {
		all[p.LoadBalancer] = append(all[p.LoadBalancer], p.Err)
	}
	for name, errs := range w.failed {
		again = true
		for _, err := range errs {
			if !errors.Is(err, ErrNoNetwork) {
				all[name] = append(all[name], err)
			}
		}
	}
	for _, lb := range s.placements() {
		if label := lb.Label(); l.said[label] != "" && len(all[label]) == 0 && len(w.failed[label]) == 0 {
			l.log.Info("a load balancer is as it is to be", "loadBalancer", label)
		}
	}
	said := map[string]string{}
	for name, errs := range all {
		err := errors.Join(errs...)
		if said[name] = err.Error(); said[name] != l.said[name] {
			l.log.Error("a load balancer is not as it is to be", "loadBalancer", name, "error", err)
		}
	}
	l.said = said
	return again
}
