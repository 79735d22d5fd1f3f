package vpc

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Counters are what has passed an ENI since it was attached, as its instance sees
// it: In is what the instance got.
type Counters struct {
	InBytes, OutBytes, InPackets, OutPackets uint64
}

// Counters reads those of all ENIs that are attached, by their ids, in one dump.
func (v *VPC) Counters() (map[string]Counters, error) {
	links, err := v.nl.LinkList()
	// A link that came or went meanwhile does not spoil the others' numbers.
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("read the counters of links: %w", err)
	}
	all := make(map[string]Counters, len(links))
	for _, link := range links {
		a := link.Attrs()
		if a.Alias == "" || a.Name != linkName(a.Alias) || a.Statistics == nil {
			continue
		}
		// The router sends what the instance gets.
		s := a.Statistics
		all[a.Alias] = Counters{InBytes: s.TxBytes, OutBytes: s.RxBytes, InPackets: s.TxPackets, OutPackets: s.RxPackets}
	}
	return all, nil
}
