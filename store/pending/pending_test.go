package pending

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

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
