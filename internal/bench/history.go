package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/wire"
)

// HistoryOptions are those of [History]. The zero value is the standard measurement.
type HistoryOptions struct {
	// Entries is how many the long session has. Default: 1,000,000.
	Entries int
	// Short is how many the short one has. Default: 100.
	Short int
	// Sessions is how many idle sessions there are besides. Default: 100,000.
	Sessions int
	// Reads is how often each is read. Default: 300.
	Reads int
}

// History measures whether reading the end of a session depends on its length, and what sessions cost that nobody reads.
func History(ctx context.Context, t *Target, o HistoryOptions) (*Report, error) {
	def(&o.Entries, 1_000_000)
	def(&o.Short, 100)
	def(&o.Sessions, 100_000)
	def(&o.Reads, 300)
	backend, err := newAPI(t)
	if err != nil {
		return nil, err
	}
	defer backend.close()
	r := newReport("history", map[string]any{"entries": o.Entries, "short": o.Short, "sessions": o.Sessions, "reads": o.Reads})
	h := &history{Report: r, o: o, target: t, api: backend, swarm: newSwarm(t)}
	if h.token, err = t.userToken("reader"); err != nil {
		return nil, err
	}
	return r, h.run(ctx)
}

type history struct {
	*Report
	o      HistoryOptions
	target *Target
	api    *api
	swarm  *swarm
	token  string
}

const (
	longSession  = holdfast.SessionID("long")
	shortSession = holdfast.SessionID("short")
	lastRead     = 15
)

func historyMessage(s holdfast.SessionID, n int) []byte {
	return fmt.Appendf(nil, `{"session":%q,"n":%d,"text":"a message of the usual length, which is not very long"}`, s, n)
}

func (h *history) run(ctx context.Context) error {
	begun := time.Now()
	if err := h.fill(ctx, shortSession, h.o.Short); err != nil {
		return err
	}
	if err := h.fill(ctx, longSession, h.o.Entries); err != nil {
		return err
	}
	h.add("entries written per second", float64(h.o.Entries+h.o.Short)/time.Since(begun).Seconds(), "1/s")
	if err := h.compare(ctx, "last 15"); err != nil {
		return err
	}
	if err := h.sessions(ctx); err != nil {
		return err
	}
	return h.restart(ctx)
}

// fill writes a session of n messages, a thousand at a time.
func (h *history) fill(ctx context.Context, s holdfast.SessionID, n int) error {
	for first := 1; first <= n; first += 1000 {
		var data [][]byte
		for k := first; k < first+1000 && k <= n; k++ {
			data = append(data, historyMessage(s, k))
		}
		at, err := h.api.append(ctx, s, data...)
		if err == nil && int(at) != first {
			err = violation("message %d of %s stands at %d", first, s, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compare reads the end of both sessions in turn, so that whatever else the machine does hits both alike.
func (h *history) compare(ctx context.Context, what string) error {
	l, err := h.swarm.open(ctx, h.token, "reader")
	if err != nil {
		return err
	}
	defer l.conn.Abort()
	var short, long latencies
	for range h.o.Reads {
		if err := h.readEnd(ctx, l, shortSession, h.o.Short, &short); err != nil {
			return err
		}
		if err := h.readEnd(ctx, l, longSession, h.o.Entries, &long); err != nil {
			return err
		}
		// The server takes 50 frames a second from one connection for long, and this is four.
		if err := pause(ctx, 80*time.Millisecond); err != nil {
			return err
		}
	}
	h.add(fmt.Sprintf("%s of %d entries, p50", what, h.o.Short), ms(short.quantile(0.5)), "ms")
	h.add(fmt.Sprintf("%s of %d entries, p50", what, h.o.Entries), ms(long.quantile(0.5)), "ms")
	h.atMost(what+": ratio", float64(long.quantile(0.5))/float64(short.quantile(0.5)), 2, "")
	return nil
}

// readEnd subscribes, without a cursor, until it is caught up, and checks what came.
func (h *history) readEnd(ctx context.Context, l *line, s holdfast.SessionID, n int, late *latencies) error {
	state := client.NewState(s, true)
	begun := time.Now()
	if err := l.conn.Write(wire.AppendClient(nil, &wire.Sub{Session: s, Last: lastRead})); err != nil {
		return err
	}
	err := l.read(ctx, func(_ wire.Type, msg []byte) error {
		f, err := wire.DecodeServer(msg)
		if err != nil {
			return err
		}
		change, err := state.Apply(f)
		if err == nil && change.Kind == client.CaughtUp {
			err = errDone
		}
		return err
	})
	if err != nil {
		return err
	}
	late.add(time.Since(begun))
	entries := state.Entries()
	if want := min(lastRead, n); len(entries) != want || int(state.Head()) != n {
		h.fail(violation("%s: read %d entries up to %d, want %d up to %d", s, len(entries), state.Head(), want, n))
		return nil
	}
	for _, e := range entries {
		if string(e.Data) != string(historyMessage(s, int(e.Offset))) {
			h.fail(violation("%s: entry %d reads %s", s, e.Offset, e.Data))
		}
	}
	return l.conn.Write(wire.AppendClient(nil, &wire.Unsub{Session: s}))
}

// sessions writes many sessions of one message each.
func (h *history) sessions(ctx context.Context) error {
	before, err := h.target.usage()
	if err != nil {
		return err
	}
	begun := time.Now()
	err = each(ctx, h.o.Sessions, 64, func(ctx context.Context, i int) error {
		s := holdfast.SessionID(fmt.Sprint("idle-", i))
		_, err := h.api.append(ctx, s, historyMessage(s, 1))
		return err
	})
	if err != nil {
		return err
	}
	h.add("sessions made per second", float64(h.o.Sessions)/time.Since(begun).Seconds(), "1/s")
	h.api.close()
	h.target.collect(ctx)
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	after, err := h.target.usage()
	if err != nil {
		return err
	}
	h.add("server RSS before the idle sessions", float64(before.rss)/kib/kib, "MiB")
	h.add("server RSS after them, garbage collected", float64(after.rss)/kib/kib, "MiB")
	return nil
}

// restart stops and starts the server, and reads both sessions once more.
func (h *history) restart(ctx context.Context) error {
	took, err := h.target.Restart(ctx)
	if err != nil {
		return err
	}
	h.add("restart until ready", took.Seconds(), "s")
	u, err := h.target.usage()
	if err != nil {
		return err
	}
	h.add("server RSS after the restart", float64(u.rss)/kib/kib, "MiB")
	h.o.Reads = min(h.o.Reads, 50)
	return h.compare(ctx, "after the restart, last 15")
}
