package pebble

import (
	flags "flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/storetest"
)

func TestMain(m *testing.M) {
	if raceEnabled {
		// Pebble checks its own invariants then, and is many times slower: all steps of the model are made without it.
		if err := flags.Set("rapid.checks", "15"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

func opener(t testing.TB, o Options) func() driver.Driver {
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	return func() driver.Driver {
		d, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"fsync":      {},
		"process":    {Sync: driver.DurableProcess},
		"tiny cache": {Sync: driver.DurableProcess, CachedSessions: 1},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t testing.TB) storetest.Harness {
				return storetest.Harness{Open: opener(t, o), Durable: true}
			})
		})
	}
}
