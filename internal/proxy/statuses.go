package proxy

import "fmt"

// Statuses is a set of HTTP statuses from 100 to 599. The zero value is empty.
type Statuses [8]uint64

// The statuses that there can be.
const (
	firstStatus = 100
	lastStatus  = 599
)

// Add adds the statuses from the first to the last, both included; those that cannot be are left out.
func (s *Statuses) Add(from, to int) {
	for status := max(from, firstStatus); status <= min(to, lastStatus); status++ {
		s[(status-firstStatus)/64] |= 1 << ((status - firstStatus) % 64)
	}
}

// Has says whether a status is in the set.
func (s Statuses) Has(status int) bool {
	if status < firstStatus || status > lastStatus {
		return false
	}
	return s[(status-firstStatus)/64]&(1<<((status-firstStatus)%64)) != 0
}

// StatusError is the status of a response to a health check that does not pass.
type StatusError int

func (e StatusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// passes says whether a response with a status is a success.
func (h *HealthCheck) passes(status int) bool {
	if h.Statuses == (Statuses{}) {
		return status == 200
	}
	return h.Statuses.Has(status)
}
