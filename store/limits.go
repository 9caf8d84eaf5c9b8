package store

import (
	"context"
	"encoding/json"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Limits bound what one operation may hold. The zero value has the defaults; there is no way to switch one off, because a
// single huge record is read whole by every reader.
type Limits struct {
	// MaxData is the data of one entry, and what is said at a run's end, in bytes. Default 256 KiB.
	MaxData int
	// MaxFragment is one fragment with its part's name, in bytes. Default 64 KiB.
	MaxFragment int
	// MaxRunBytes is all fragments of a run. Default 8 MiB. Producers that append to one run at once may go over it by
	// what they append at that moment.
	MaxRunBytes int64
	// MaxBatch is the entries or fragments of one operation. Default 1000.
	MaxBatch int
}

func (l *Limits) setDefaults() {
	if l.MaxData <= 0 {
		l.MaxData = 256 << 10
	}
	if l.MaxFragment <= 0 {
		l.MaxFragment = 64 << 10
	}
	if l.MaxRunBytes <= 0 {
		l.MaxRunBytes = 8 << 20
	}
	if l.MaxBatch <= 0 {
		l.MaxBatch = 1000
	}
}

// check reports what in an operation breaks a rule that needs no knowledge of the session.
func (l *Limits) check(op driver.Op) error {
	switch op := op.(type) {
	case driver.Append:
		return l.checkAppend(&op)
	case driver.OpenRunOp:
		return l.checkEntry(&op.Entry)
	case driver.AppendFragments:
		return l.checkFragments(op.Fragments)
	case driver.EndRun:
		return l.checkData("what is said at a run's end", op.Data)
	case driver.EditQueue:
		if err := holdfast.ValidateKey("the message's id", op.Of.ID); err != nil {
			return err
		}
		return l.checkEntry(&driver.NewEntry{ID: op.ID, From: op.From})
	case driver.RequestStop:
		return l.checkEntry(&driver.NewEntry{ID: op.ID, From: op.From})
	case driver.OpenRequest:
		return l.checkRequest(&op)
	case driver.Tell:
		return l.checkTell(&op)
	case driver.SettleRequest:
		return l.checkEntry(&driver.NewEntry{ID: op.ID, From: op.From, Data: op.Data})
	}
	return nil
}

func (l *Limits) checkTell(op *driver.Tell) error {
	for i := range op.Consumers {
		if err := holdfast.ValidateKey("consumer name", op.Consumers[i].Name); err != nil {
			return err
		}
	}
	return l.checkAppend(&driver.Append{Entries: op.Entries})
}

// checkRequest bounds what is asked together with the default: both stand in one entry.
func (l *Limits) checkRequest(op *driver.OpenRequest) error {
	for _, u := range op.To {
		if err := u.Validate(); err != nil {
			return err
		}
	}
	if err := l.checkEntry(&driver.NewEntry{ID: op.ID, Data: op.Data}); err != nil {
		return err
	}
	if n := len(op.Data) + len(op.Default); n > l.MaxData {
		return holdfast.Errorf(holdfast.CodeTooLarge, "the request's data and default have %d bytes; at most %d are allowed together", n, l.MaxData)
	}
	return l.checkData("the request's default", op.Default)
}

func (l *Limits) checkAppend(op *driver.Append) error {
	if len(op.Entries) > l.MaxBatch {
		return holdfast.Errorf(holdfast.CodeTooLarge, "the append has %d entries; send at most %d at once", len(op.Entries), l.MaxBatch)
	}
	for i := range op.Entries {
		if err := l.checkEntry(&op.Entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *Limits) checkEntry(n *driver.NewEntry) error {
	if n.ID != "" {
		if err := holdfast.ValidateKey("id", n.ID); err != nil {
			return err
		}
	}
	if n.Key != "" {
		if err := holdfast.ValidateKey("key", n.Key); err != nil {
			return err
		}
	}
	if n.From.User != "" {
		if err := n.From.User.Validate(); err != nil {
			return err
		}
	}
	if n.From.Client != "" {
		if err := n.From.Client.Validate(); err != nil {
			return err
		}
	}
	return l.checkData("the entry's data", n.Data)
}

func (l *Limits) checkData(what string, data json.RawMessage) error {
	switch {
	case len(data) > l.MaxData:
		return holdfast.Errorf(holdfast.CodeTooLarge, "%s has %d bytes; at most %d are allowed", what, len(data), l.MaxData)
	case len(data) > 0 && !json.Valid(data):
		return holdfast.Errorf(holdfast.CodeInvalid, "%s is not valid JSON", what)
	}
	return nil
}

func (l *Limits) checkFragments(fs []holdfast.Fragment) error {
	if len(fs) > l.MaxBatch {
		return holdfast.Errorf(holdfast.CodeTooLarge, "there are %d fragments; send at most %d at once", len(fs), l.MaxBatch)
	}
	for i := range fs {
		if n := fs[i].Size(); n > l.MaxFragment {
			return holdfast.Errorf(holdfast.CodeTooLarge, "fragment %d of the operation has %d bytes; at most %d are allowed, so split it",
				i+1, n, l.MaxFragment)
		}
		if err := fs[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}

// checkRunSize refuses to make a run larger than its limit. Fragments that the run has already count for nothing.
func (s *Store) checkRunSize(ctx context.Context, id holdfast.SessionID, op *driver.AppendFragments) error {
	run, ok := s.sizes.of(id, op.Run)
	if ok && run.with(op) <= s.opts.Limits.MaxRunBytes {
		return nil
	}
	// Not known, or perhaps of a session that another node has deleted since.
	info, err := s.driver.Info(ctx, id)
	if err != nil {
		return err
	}
	for i := range info.Open {
		if info.Open[i].Run != op.Run {
			continue
		}
		s.sizes.note(id, &info.Open[i])
		run = runSize{info.Open[i].Fragments, info.Open[i].Bytes}
		if total := run.with(op); total > s.opts.Limits.MaxRunBytes {
			return holdfast.Errorf(holdfast.CodeTooLarge, "run %d would have %d bytes; at most %d are allowed, so end it and go on in a new one",
				op.Run, total, s.opts.Limits.MaxRunBytes)
		}
	}
	return nil // what is not open the engine answers
}
