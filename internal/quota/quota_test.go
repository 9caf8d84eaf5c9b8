package quota

import (
	"fmt"
	"testing"
	"time"
)

func TestTake(t *testing.T) {
	now := time.Unix(1000, 0)
	q := New(0.1, 5, func() time.Time { return now })
	for i := range 5 {
		if wait, ok := q.Take("anna"); !ok {
			t.Fatalf("take %d: wait %v", i+1, wait)
		}
	}
	for range 3 { // a refusal costs nothing
		if wait, ok := q.Take("anna"); ok || wait != 10*time.Second {
			t.Fatalf("take 6: %v, wait %v; want a wait of 10 s", ok, wait)
		}
	}
	if _, ok := q.Take("ben"); !ok {
		t.Error("ben waits for anna")
	}
	now = now.Add(10 * time.Second)
	if wait, ok := q.Take("anna"); !ok {
		t.Errorf("after 10 s: wait %v", wait)
	}
}

func TestWait(t *testing.T) {
	now := time.Unix(1000, 0)
	q := New(0.1, 2, func() time.Time { return now })
	for i, want := range []time.Duration{0, 0, 10 * time.Second} {
		for range 3 { // asking costs nothing
			if wait := q.Wait("anna"); wait != want {
				t.Fatalf("after %d takes: %v, want %v", i, wait, want)
			}
		}
		q.Take("anna")
	}
	now = now.Add(10 * time.Second)
	if wait := q.Wait("anna"); wait != 0 {
		t.Errorf("after 10 s: %v", wait)
	}
}

// What is kept does not grow with how many there ever were, but nobody gets a new bucket for having emptied the old.
func TestFullBucketsAreForgotten(t *testing.T) {
	now := time.Unix(1000, 0)
	q := New(1, 2, func() time.Time { return now })
	for i := range 100_000 {
		if i%1000 == 0 {
			now = now.Add(time.Second)
		}
		if i%100 == 0 {
			_, _ = q.Take("greedy")
		}
		if _, ok := q.Take(fmt.Sprint(i)); !ok {
			t.Fatalf("%d was refused its first", i)
		}
	}
	if n := len(q.buckets); n > 10_000 {
		t.Errorf("%d buckets are kept", n)
	}
	if _, ok := q.Take("greedy"); ok {
		t.Error("the greedy one has a new bucket")
	}
}
