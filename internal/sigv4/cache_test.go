package sigv4

import (
	"fmt"
	"sync"
	"testing"
)

func TestKeyCacheIsBounded(t *testing.T) {
	c := newKeyCache(16)
	hot := keyID{"hot", "d", "r", "s"}
	want := deriveKey(hot)
	for i := range 1000 {
		id := keyID{fmt.Sprint(i), "d", "r", "s"}
		if c.get(id) != deriveKey(id) || c.get(hot) != want {
			t.Fatal("wrong key")
		}
		if n := len(c.young) + len(c.old); n > 16 {
			t.Fatalf("%d keys are kept", n)
		}
	}
	_, young := c.young[hot]
	_, old := c.old[hot]
	if !young && !old {
		t.Error("a key in use was dropped")
	}
}

func TestKeyCacheConcurrently(t *testing.T) {
	c := newKeyCache(8)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				id := keyID{fmt.Sprint((i + g) % 20), "d", "r", "s"}
				if c.get(id) != deriveKey(id) {
					t.Error("wrong key")
				}
			}
		})
	}
	wg.Wait()
}
