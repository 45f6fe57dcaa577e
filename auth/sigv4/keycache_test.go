package sigv4

import (
	"fmt"
	"testing"

	"lockstep"
)

func TestKeyCacheIsBounded(t *testing.T) {
	c := newKeyCache(100)
	secret := lockstep.StringValue("s")
	for i := range 1000 {
		_, keep := c.get(fmt.Sprint("key", i), secret, Scope{Date: "20260101"})
		keep()
		if len(c.entries) > 100 {
			t.Fatalf("%d entries", len(c.entries))
		}
	}
	_, keep := c.get("newest", secret, Scope{Date: "20260101"})
	keep()
	if _, ok := c.entries[cacheKey{"newest", Scope{Date: "20260101"}}]; !ok {
		t.Error("the newest key is not kept")
	}
}

func TestKeyCacheDropsOtherDaysFirst(t *testing.T) {
	c := newKeyCache(10)
	secret := lockstep.StringValue("s")
	for i := range 10 {
		_, keep := c.get(fmt.Sprint("key", i), secret, Scope{Date: fmt.Sprint(20260101 + i%2)})
		keep()
	}
	_, keep := c.get("new", secret, Scope{Date: "20260102"})
	keep()
	if len(c.entries) != 6 {
		t.Errorf("%d entries, want the 5 of that day and the new one", len(c.entries))
	}
}

func TestKeyCachePurge(t *testing.T) {
	c := newKeyCache(10)
	for _, id := range []string{"a", "b"} {
		for _, region := range []string{"r1", "r2"} {
			_, keep := c.get(id, lockstep.StringValue("s"), Scope{Region: region})
			keep()
		}
	}
	c.purge("a")
	if len(c.entries) != 2 {
		t.Errorf("%d entries, want the two of b", len(c.entries))
	}
}

func TestKeyCacheKeepsNothingUnproven(t *testing.T) {
	c := newKeyCache(10)
	c.get("a", lockstep.StringValue("s"), Scope{})
	if len(c.entries) != 0 {
		t.Error("a key got in without having verified anything")
	}
}
