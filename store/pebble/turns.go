package pebble

import (
	"fmt"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

var (
	policies = [...]holdfast.TurnPolicy{1: holdfast.TurnParallel, 2: holdfast.TurnQueue, 3: holdfast.TurnLatest,
		4: holdfast.TurnReject, 5: holdfast.TurnInterrupt}
	turnStates = [...]holdfast.TurnState{1: holdfast.TurnQueued, 2: holdfast.TurnWithdrawn, 3: holdfast.TurnReplaced,
		4: holdfast.TurnMoved}
)

// turns writes how a session stands with taking turns, but for what waits: of a session that has no rules and has never had
// any, one byte.
func (w *writer) turns(t *driver.Turns) {
	if !t.Own && t.Rules == (driver.TurnRules{}) && t.Turn == (driver.Turn{}) && len(t.Queue) == 0 {
		w.byte(0)
		return
	}
	w.byte(1)
	own := byte(0)
	if t.Own {
		own = 1
	}
	w.byte(own)
	w.byte(codeOf(policies[:], t.Rules.Policy))
	w.uint(uint64(t.Rules.Limit))
	w.uint(uint64(t.Rules.Wait.Milliseconds()))
	w.uint(uint64(t.Turn.Message))
	until := int64(0)
	if !t.Turn.Until.IsZero() {
		until = t.Turn.Until.UnixMilli()
	}
	w.int(until)
	w.uint(uint64(len(t.Queue)))
}

// turns reads what turns wrote, and how many messages wait.
func (r *reader) turns() (t driver.Turns, held int) {
	if r.byte() == 0 {
		return t, 0
	}
	t.Own = r.byte() != 0
	if c := int(r.byte()); c < len(policies) {
		t.Rules.Policy = policies[c]
	} else {
		r.fail(fmt.Errorf("it has an unknown policy %d", c))
	}
	t.Rules.Limit = int(r.uint())
	t.Rules.Wait = time.Duration(r.uint()) * time.Millisecond
	t.Turn.Message = holdfast.Offset(r.uint())
	if until := r.int(); until != 0 {
		t.Turn.Until = time.UnixMilli(until).UTC()
	}
	return t, int(r.uint())
}

func encodeQueue(q []driver.Held) []byte {
	size := 16
	for i := range q {
		size += len(q[i].Data) + 96
	}
	w := newWriter(size)
	w.uint(uint64(len(q)))
	for i := range q {
		h := &q[i]
		w.str(h.ID)
		w.str(string(h.From.User))
		w.str(string(h.From.Client))
		w.time(h.At)
		w.bytes(h.Data)
		feed := byte(0)
		if h.Feed {
			feed = 1
		}
		w.byte(feed)
	}
	return w.b
}

func decodeQueue(b []byte) (q []driver.Held, err error) {
	r := newReader(b)
	for range r.count() {
		h := driver.Held{ID: r.str()}
		h.From.User = holdfast.UserID(r.str())
		h.From.Client = holdfast.ClientID(r.str())
		h.At = r.time()
		h.Data = r.bytes()
		h.Feed = r.byte() != 0
		q = append(q, h)
	}
	return q, r.end()
}

// loadQueue reads the n messages that wait in a session.
func loadQueue(r pebbledb.Reader, s holdfast.SessionID, n int) ([]driver.Held, error) {
	if n == 0 {
		return nil, nil
	}
	key := queueKey(s)
	v, ok, err := get(r, key)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, damaged(key, errMissing)
	}
	q, err := decodeQueue(v)
	if err == nil && len(q) != n {
		err = fmt.Errorf("it holds %d messages, and the session counts %d", len(q), n)
	}
	if err != nil {
		return nil, damaged(key, err)
	}
	return q, nil
}
