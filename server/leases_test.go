package server

import (
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// A holder whose run is gone does not let go of the lease of the one that stands in its place.
func TestClause7_AFormerHolderLetsGoOfNothing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var l leases
	l.init(time.Minute, time.Second, func() time.Time { return now })
	opened := driver.Change{Session: "chat-1", Items: []driver.Item{
		{Entry: &holdfast.Entry{Offset: 1, Kind: holdfast.KindRun, Run: &holdfast.Run{Status: holdfast.RunOpen}}},
	}}
	l.changed(&opened)
	lost, releaseFormer := l.Hold("chat-1", 1, 1)
	l.changed(&driver.Change{Session: "chat-1", Deleted: true})
	<-lost
	l.changed(&opened)
	_, release := l.Hold("chat-1", 1, 1)
	releaseFormer()
	now = now.Add(2 * time.Minute)
	if lapsed := l.table.Lapsed(now); len(lapsed) != 0 {
		t.Error("the lease of a run with a holder lapsed")
	}
	release()
	now = now.Add(2 * time.Minute)
	if lapsed := l.table.Lapsed(now); len(lapsed) != 1 {
		t.Error("the lease of a run without a holder did not lapse")
	}
}

// Of two holders of one run, the former one's going leaves the lease with the latter.
func TestClause7_ATakeOverKeepsTheLease(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var l leases
	l.init(time.Minute, time.Second, func() time.Time { return now })
	lost, releaseFormer := l.Hold("chat-1", 1, 1)
	_, release := l.Hold("chat-1", 1, 2)
	<-lost
	releaseFormer()
	now = now.Add(2 * time.Minute)
	if lapsed := l.table.Lapsed(now); len(lapsed) != 0 {
		t.Error("the lease of a run with a holder lapsed")
	}
	release()
	now = now.Add(2 * time.Minute)
	if lapsed := l.table.Lapsed(now); len(lapsed) != 1 {
		t.Error("the lease of a run without a holder did not lapse")
	}
}
