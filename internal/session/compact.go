package session

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Compact is what an ended run is kept as: its entry with the whole body, which knows where each fragment ended.
type Compact struct {
	Entry holdfast.Entry
	// Changed is when the last fragment came, Ended when the run ended.
	Changed, Ended time.Time
}

// Compacted returns the compact form of a run whose opening entry and body are given.
func Compacted(opening holdfast.Entry, body holdfast.Body, end *End) Compact {
	opening.Run = &holdfast.Run{Status: end.Info.Status, Fence: end.Info.Fence, Fragments: end.Info.Fragments,
		Tag: end.Info.Tag, Answers: end.Info.Answers, Stop: end.Info.Stop, Body: body, End: end.Data}
	return Compact{Entry: opening, Changed: end.Info.Changed, Ended: end.At}
}

// EndedItem returns the feed's item of a run's end, but for its cursor.
func (c *Compact) EndedItem(s holdfast.SessionID, epoch holdfast.Epoch) driver.FeedItem {
	e := c.Entry
	run := *e.Run
	run.Body = nil
	e.Run = &run
	return driver.FeedItem{Session: s, Epoch: epoch, Entry: e, Ended: c.Ended}
}

// RunInfo describes the run.
func (c *Compact) RunInfo() holdfast.RunInfo {
	e := &c.Entry
	info := holdfast.RunInfo{Run: e.Offset, ID: e.ID, Status: e.Run.Status, Fence: e.Run.Fence, Fragments: e.Run.Fragments,
		Tag: e.Run.Tag, At: e.At, Changed: c.Changed, Answers: e.Run.Answers, Stop: e.Run.Stop}
	for i := range e.Run.Body {
		info.TextBytes += int64(len(e.Run.Body[i].Text))
		info.Bytes += int64(len(e.Run.Body[i].Text) + len(e.Run.Body[i].Event))
	}
	return info
}

// Opened returns the entry of an open run that stands as info says, with the body given.
func Opened(opening holdfast.Entry, info *holdfast.RunInfo, body holdfast.Body) holdfast.Entry {
	opening.Run = &holdfast.Run{Status: holdfast.RunOpen, Fence: info.Fence, Fragments: info.Fragments, Tag: info.Tag,
		Answers: info.Answers, Stop: info.Stop, Rollup: info.Rollup, Body: body}
	return opening
}
