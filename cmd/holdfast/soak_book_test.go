package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/ending"
)

// visit is one connection that the soak made, and as what its end must stand in the log.
type visit struct {
	// life says how it lived. trace is the trace that its dial belonged to: it names the connection in the log, also where no
	// welcome came that could.
	life, trace string
	// conn is its id, as its welcome named it; "" while none came.
	conn string
	// want are the classes that its end may have: one, but where two things race that are both true.
	want []ending.Class
	// perhaps: its dial failed, and the server need not have seen a connection.
	perhaps bool
}

// soakRecord is the record of an end, as it stands in the log.
type soakRecord struct {
	Class  ending.Class  `json:"class"`
	By     string        `json:"by"`
	Code   int           `json:"code"`
	Reason string        `json:"reason"`
	Conn   string        `json:"conn"`
	Trace  string        `json:"trace_id"`
	User   string        `json:"user"`
	At     time.Time     `json:"time"`
	Age    time.Duration `json:"age"`
}

func (r soakRecord) String() string {
	return fmt.Sprintf("%s, by %s, %d %q, connection %s of %q, at %s after %v", r.Class, r.By, r.Code, r.Reason, r.Conn, r.User,
		r.At.Format(time.StampMilli), r.Age)
}

// soakBook is what the soak did, and what the process's log says of it. The log is written to it.
type soakBook struct {
	// Static. seed makes traces, pass takes what the log has besides.
	seed uint64
	pass io.Writer

	// Guarded by mu. rest is a line that has not come whole. changed is closed, and replaced, with each line that counts.
	mu      sync.Mutex
	rest    []byte
	visits  map[string]*visit
	records map[string][]soakRecord
	changed chan struct{}
	// taken and refused count reloads. faults are lines that a healthy server does not write.
	taken, refused int
	faults         []string
}

func newSoakBook(seed uint64, pass io.Writer) *soakBook {
	return &soakBook{seed: seed, pass: pass, visits: map[string]*visit{}, records: map[string][]soakRecord{}, changed: make(chan struct{})}
}

// begin notes a connection that is about to be dialed, and returns the header that its dial must have.
func (b *soakBook) begin(life string, want ...ending.Class) (v *visit, traceparent string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.visits) + 1
	v = &visit{life: life, trace: fmt.Sprintf("%016x%016x", b.seed|1, n), want: want}
	b.visits[v.trace] = v
	return v, fmt.Sprintf("00-%s-%016x-01", v.trace, n)
}

// Write takes what the process writes.
func (b *soakBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := append(b.rest, p...)
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			break
		}
		b.lineLocked(line)
		rest = after
	}
	b.rest = bytes.Clone(rest)
	return len(p), nil
}

func (b *soakBook) lineLocked(line []byte) {
	has := func(text string) bool { return bytes.Contains(line, []byte(text)) }
	switch {
	case has(`"msg":"connection ended"`):
		var r soakRecord
		if err := json.Unmarshal(line, &r); err != nil {
			b.faults = append(b.faults, "not JSON: "+string(line))
			return
		}
		b.records[r.Trace] = append(b.records[r.Trace], r)
	case has(`"msg":"the settings were read again"`):
		b.taken++
	case has(`"msg":"the settings were not taken`):
		b.refused++
	case has(`"level":"DEBUG"`), has(`"level":"INFO"`):
		return
	default:
		if has(`"level":"ERROR"`) || has("DATA RACE") || has("panic: ") {
			b.faults = append(b.faults, string(line))
		}
		_, _ = b.pass.Write(append(bytes.Clone(line), '\n')) // to a buffer, which takes all
		return
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// until waits until something stands in the log; ok is called with mu held.
func (b *soakBook) until(what string, ok func() bool) error {
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		b.mu.Lock()
		done, changed := ok(), b.changed
		b.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("%s: not within a minute", what)
		}
	}
}

// ended waits until the end of a connection is recorded.
func (b *soakBook) ended(v *visit) error {
	return b.until("the record of the end of one who "+v.life, func() bool { return len(b.records[v.trace]) > 0 })
}

// classes counts the records there are.
func (b *soakBook) classes() map[ending.Class]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[ending.Class]int{}
	for _, records := range b.records {
		for _, r := range records {
			n[r.Class]++
		}
	}
	return n
}

// check compares what was done with what the log says of it, when the process has ended and nobody is at the book any more.
func (b *soakBook) check(t *testing.T) {
	t.Helper()
	for _, fault := range b.faults {
		t.Errorf("the server wrote %s", fault)
	}
	conns := map[string]int{}
	// Where two classes are right, what was seen is counted under each.
	expected, seen, lives := map[string]int{}, map[string]int{}, map[string]int{}
	for trace, records := range b.records {
		v := b.visits[trace]
		for _, r := range records {
			conns[r.Conn]++
			if v == nil {
				t.Errorf("a record without a connection: %v", r)
				continue
			}
			if !slices.Contains(v.want, r.Class) {
				t.Errorf("a connection of one who %s ended as %v; want %v", v.life, r, v.want)
			}
			seen[v.row()]++
			if len(v.want) > 1 {
				seen[v.row()+": "+string(r.Class)]++
			}
		}
	}
	for _, v := range b.visits {
		records := b.records[v.trace]
		if n := len(records); n != 1 && !(n == 0 && v.perhaps) {
			t.Errorf("a connection of one who %s (%s) has %d records: %v", v.life, v.conn, n, records)
		}
		if len(records) > 0 && v.conn != "" && records[0].Conn != v.conn {
			t.Errorf("a connection of one who %s is %s in its welcome and %s in the log", v.life, v.conn, records[0].Conn)
		}
		if len(records) > 0 || !v.perhaps {
			expected[v.row()]++
			lives[v.life]++
		}
	}
	for id, n := range conns {
		if n > 1 {
			t.Errorf("connection %s has %d records", id, n)
		}
	}
	t.Logf("%d connections\n%s\n%s", len(conns), table("class", expected, seen), table("one who", lives, nil))
}

// row is under what a visit is counted.
func (v *visit) row() string {
	names := make([]string, len(v.want))
	for i, c := range v.want {
		names[i] = string(c)
	}
	return strings.Join(names, " or ")
}

// table is a table of counts; the second column is left out where there is none.
func table(head string, expected, seen map[string]int) string {
	var rows []string
	for row := range expected {
		rows = append(rows, row)
	}
	for row := range seen {
		if _, ok := expected[row]; !ok {
			rows = append(rows, row)
		}
	}
	weight := func(row string) int { // what is seen of a row goes below it
		whole, _, _ := strings.Cut(row, ":")
		return cmp.Or(expected[row], expected[whole])
	}
	slices.SortFunc(rows, func(x, y string) int { return cmp.Or(weight(y)-weight(x), cmp.Compare(x, y)) })
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s %8s", head, "expected")
	if seen != nil {
		fmt.Fprintf(&b, " %8s", "seen")
	}
	for _, row := range rows {
		count := ""
		if n, ok := expected[row]; ok {
			count = fmt.Sprint(n)
		}
		fmt.Fprintf(&b, "\n%-34s %8s", row, count)
		if seen != nil {
			fmt.Fprintf(&b, " %8d", seen[row])
		}
	}
	return b.String()
}
