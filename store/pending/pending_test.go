package pending

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/store/storetest"
)

// Until it is open it says so, and is no store whatever is asked; then it is like any other.
func TestBeforeOpen(t *testing.T) {
	d := New(driver.DurableMemory, func(context.Context) (driver.Driver, error) { return memory.New(memory.Options{}), nil })
	_, err := d.Info(t.Context(), "chat-1")
	if holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("before it is open: %v", err)
	}
	if err := d.Delete(t.Context(), "chat-1"); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("before it is open: %v", err)
	}
	if err := d.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Info(t.Context(), "chat-1"); err != nil {
		t.Error(err)
	}
}

// Who watched before the store was open sees what is written after.
func TestWatchBeforeOpen(t *testing.T) {
	d := New(driver.DurableMemory, func(context.Context) (driver.Driver, error) { return memory.New(memory.Options{}), nil })
	seen := 0
	stop := d.Watch(func(driver.Change) { seen++ })
	if err := d.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		op := driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, Data: []byte("1")}}}
		if _, err := d.Apply(t.Context(), "chat-1", op); err != nil {
			t.Fatal(err)
		}
	}
	write()
	stop()
	write()
	if seen != 1 {
		t.Errorf("saw %d changes, want 1", seen)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenFailsOrComesTooLate(t *testing.T) {
	broken := errors.New("broken")
	d := New(driver.DurableMemory, func(context.Context) (driver.Driver, error) { return nil, broken })
	if err := d.Open(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	db := memory.New(memory.Options{})
	late := New(driver.DurableMemory, func(context.Context) (driver.Driver, error) { return db, nil })
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
	if err := late.Open(t.Context()); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("a store that was closed before opens: %v", err)
	}
	if _, err := db.Info(t.Context(), "chat-1"); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("what was opened too late was left open: %v", err)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Harness {
		return storetest.Harness{Open: func() driver.Driver {
			d := New(driver.DurableMemory, func(context.Context) (driver.Driver, error) { return memory.New(memory.Options{}), nil })
			if err := d.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			return d
		}}
	})
}
