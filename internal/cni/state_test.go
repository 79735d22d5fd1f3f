package cni

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func addrs(s string) []netip.Addr {
	var list []netip.Addr
	for _, a := range strings.Fields(s) {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

func TestNext(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	all := addrs("10.0.0.1 10.0.0.2 10.0.0.3")
	tests := []struct {
		name     string
		held     string
		released map[string]time.Time
		want     string
	}{
		{"all free", "", nil, "10.0.0.1"},
		{"first held", "10.0.0.1", nil, "10.0.0.2"},
		{"used ones last", "", map[string]time.Time{"10.0.0.1": at(1), "10.0.0.2": at(2)}, "10.0.0.3"},
		{"longest rested", "", map[string]time.Time{"10.0.0.1": at(3), "10.0.0.2": at(1), "10.0.0.3": at(2)}, "10.0.0.2"},
		{"just released, but the only one", "10.0.0.1 10.0.0.2", map[string]time.Time{"10.0.0.3": at(9)}, "10.0.0.3"},
		{"held wins over released", "10.0.0.2", map[string]time.Time{"10.0.0.1": at(3), "10.0.0.2": at(1), "10.0.0.3": at(2)}, "10.0.0.3"},
		{"exhausted", "10.0.0.1 10.0.0.2 10.0.0.3", nil, ""},
		{"strangers do not count", "10.9.9.9", map[string]time.Time{"10.9.9.8": at(1)}, "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			held := make(map[netip.Addr]bool)
			for _, a := range addrs(tt.held) {
				held[a] = true
			}
			released := make(map[netip.Addr]time.Time)
			for a, when := range tt.released {
				released[netip.MustParseAddr(a)] = when
			}
			got, err := next(all, held, released)
			if tt.want == "" {
				if !errors.Is(err, errExhausted) {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("got %v, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestStateRemembers(t *testing.T) {
	s := state{t.TempDir()}
	all := addrs("10.0.0.1 10.0.0.2")
	a, b := attachment{"a", "eth0"}, attachment{"a", "net1"}
	get := func(at attachment) netip.Addr {
		t.Helper()
		rec, err := s.acquire(at, all, record{HostInterface: "eni" + at.ifName})
		if err != nil {
			t.Fatal(err)
		}
		return rec.Address
	}
	first := get(a)
	if again := get(a); again != first {
		t.Errorf("the same attachment got %s, then %s", first, again)
	}
	if other := get(b); other == first {
		t.Errorf("two attachments share %s", first)
	}
	if _, err := s.acquire(attachment{"c", "eth0"}, all, record{}); !errors.Is(err, errExhausted) {
		t.Errorf("third of two addresses: %v", err)
	}
	if n, err := s.free(all); n != 0 || err != nil {
		t.Errorf("%d free, %v", n, err)
	}
	list, err := s.list()
	if err != nil || len(list) != 2 || list[b].HostInterface != "eninet1" {
		t.Errorf("list %v, %v", list, err)
	}
	for range 2 { // the second time it is gone already
		if err := s.release(a); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := s.lookup(a); ok || err != nil {
		t.Errorf("lookup after release: %v, %v", ok, err)
	}
	if n, err := s.free(all); n != 1 || err != nil {
		t.Errorf("%d free, %v", n, err)
	}

	// What a crash of the machine left of a file holds no address.
	if err := os.WriteFile(s.attachmentFile(b), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := s.free(all); n != 2 || err != nil {
		t.Errorf("%d free beside an empty record, %v", n, err)
	}
	get(b)
}

// A released address rests until all others had their turn.
func TestReleasedAddressRests(t *testing.T) {
	s := state{t.TempDir()}
	all := addrs("10.0.0.1 10.0.0.2 10.0.0.3")
	var got []string
	for i := range 6 {
		at := attachment{fmt.Sprint("c", i), "eth0"}
		rec, err := s.acquire(at, all, record{})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rec.Address.String()[7:])
		if err := s.release(at); err != nil {
			t.Fatal(err)
		}
		// Clocks of file systems are coarse: date it.
		when := time.Unix(int64(i), 0)
		if err := os.Chtimes(s.releasedFile(rec.Address), when, when); err != nil {
			t.Fatal(err)
		}
	}
	if s := strings.Join(got, " "); s != "1 2 3 1 2 3" {
		t.Errorf("order of use: %s", s)
	}
}

func TestAcquireInParallel(t *testing.T) {
	s := state{filepath.Join(t.TempDir(), "deep", "down")}
	var all []netip.Addr
	for i := range 40 {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}))
	}
	var mu sync.Mutex // guards holder
	holder := make(map[netip.Addr]string)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			id := fmt.Sprint("c", i)
			for range 5 {
				rec, err := s.acquire(attachment{id, "eth0"}, all, record{})
				if errors.Is(err, errExhausted) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other := holder[rec.Address]; other != "" {
					t.Errorf("%s and %s share %s", other, id, rec.Address)
				}
				holder[rec.Address] = id
				mu.Unlock()

				mu.Lock()
				delete(holder, rec.Address)
				mu.Unlock()
				if err := s.release(attachment{id, "eth0"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := s.free(all); n != len(all) || err != nil {
		t.Errorf("%d of %d free at the end, %v", n, len(all), err)
	}
}
