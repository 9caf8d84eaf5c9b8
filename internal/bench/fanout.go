package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/wire"
)

// FanoutOptions are those of [Fanout]. The zero value is the standard measurement.
type FanoutOptions struct {
	// Readers is how many connections read the one session. Default: 5,000.
	Readers int
	// Duration is how long is written. Default: 15 s.
	Duration time.Duration
	// Writers is how many writers there are, each of which writes when there are fewer messages under way than writers,
	// counting one as under way until all readers have it. Default: 16. More give larger bursts: more deliveries, later.
	Writers int
	// Size is that of a message's data, in bytes. Default: 128.
	Size int
	// Decoders is how many readers decode every frame in full. Default: 16.
	Decoders int
}

// Fanout measures how many deliveries of one session's messages a CPU second of the server pays for, when writers write as
// fast as readers can read. Every reader checks every message.
func Fanout(ctx context.Context, t *Target, o FanoutOptions) (*Report, error) {
	def(&o.Readers, 5000)
	def(&o.Duration, 15*time.Second)
	def(&o.Writers, 16)
	def(&o.Size, 128)
	def(&o.Decoders, 16)
	backend, err := newAPI(t)
	if err != nil {
		return nil, err
	}
	defer backend.close()
	r := newReport("fanout", map[string]any{
		"readers": o.Readers, "duration": o.Duration.String(), "writers": o.Writers, "size": o.Size, "decoders": o.Decoders,
	})
	f := &fanout{Report: r, o: o, target: t, api: backend, frames: make([]atomic.Pointer[fanFrame], 1<<21)}
	f.prefix = prefixOf("entry", fanSession)
	return r, f.run(ctx)
}

const fanSession = holdfast.SessionID("fanout")

type fanout struct {
	*Report
	o      FanoutOptions
	target *Target
	api    *api
	prefix string

	// frames holds, by offset, the frame that the first reader received and decoded.
	frames []atomic.Pointer[fanFrame]
	// appended counts the messages acknowledged, delivered those that all readers together received.
	appended, delivered, live atomic.Int64
	late                      latencies
}

type fanFrame struct {
	bytes []byte
	sent  int64
}

// fanMessage is what a writer writes: when, who, and a sum over it and the filling.
type fanMessage struct {
	Sent   int64  `json:"t"`
	Writer int    `json:"w"`
	N      int    `json:"i"`
	Fill   string `json:"p"`
	Sum    uint32 `json:"c"`
}

func (m *fanMessage) sum() uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %d %d %s", m.Sent, m.Writer, m.N, m.Fill))
}

func newFanMessage(writer, n, size int) []byte {
	m := fanMessage{Sent: time.Now().UnixNano(), Writer: writer, N: n}
	m.Sum = 1 << 31 // ten digits, like most sums
	plain, _ := json.Marshal(&m)
	m.Fill = string(bytes.Repeat([]byte{'a' + byte(n%26)}, max(size-len(plain), 0)))
	m.Sum = m.sum()
	out, _ := json.Marshal(&m) // numbers and a text: cannot fail
	return out
}

func (f *fanout) run(ctx context.Context) error {
	crew := newCrew(ctx)
	swarm := newSwarm(f.target)
	token, err := f.target.userToken("reader")
	if err != nil {
		return err
	}
	for i := range f.o.Readers {
		crew.work(func(ctx context.Context) error {
			l, err := swarm.open(ctx, token, holdfast.ClientID(fmt.Sprint("reader-", i)), wire.Sub{Session: fanSession, Last: 1})
			if err != nil {
				return err
			}
			defer l.conn.Abort()
			return f.reader(i).run(ctx, l)
		})
	}
	err = f.measure(crew.ctx)
	crew.stop(err)
	if waited := crew.wait(); err == nil && f.delivered.Load() < f.appended.Load()*int64(f.o.Readers) {
		err = waited
	}
	return err
}

func (f *fanout) measure(ctx context.Context) error {
	readers := int64(f.o.Readers)
	if err := waitFor(ctx, readers, f.live.Load); err != nil {
		return err
	}
	before, err := f.target.usage()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := f.write(ctx); err != nil {
		return err
	}
	if err := waitFor(ctx, f.appended.Load()*readers, f.delivered.Load); err != nil {
		f.fail(violation("not everything was delivered: %v", err))
	}
	took := time.Since(begun)
	after, err := f.target.usage()
	if err != nil {
		return err
	}
	cpu := (after.cpu - before.cpu).Seconds()
	f.add("messages", float64(f.appended.Load()), "")
	f.add("deliveries", float64(f.delivered.Load()), "")
	f.add("deliveries per second", float64(f.delivered.Load())/took.Seconds(), "1/s")
	f.atLeast("deliveries per server CPU second", float64(f.delivered.Load())/cpu, 200_000, "1/s")
	f.add("server CPU", 100*cpu/took.Seconds(), "% of a core")
	f.add("server RSS", float64(after.rss)/kib/kib, "MiB")
	f.late.report(f.Report, "append to receive", 0)
	return nil
}

// write runs the writers for as long as is asked for. A writer waits while more than its share is under way, so that the
// readers are always busy and never far behind.
func (f *fanout) write(ctx context.Context) error {
	until := time.Now().Add(f.o.Duration)
	under := int64(f.o.Writers) * int64(f.o.Readers)
	writers := newCrew(ctx)
	var begun atomic.Int64
	for w := range f.o.Writers {
		writers.work(func(ctx context.Context) error {
			for n := 0; time.Now().Before(until); n++ {
				for begun.Load()*int64(f.o.Readers)-f.delivered.Load() >= under {
					if err := pause(ctx, 200*time.Microsecond); err != nil {
						return err
					}
				}
				begun.Add(1)
				if _, err := f.api.append(ctx, fanSession, newFanMessage(w, n, f.o.Size)); err != nil {
					return err
				}
				f.appended.Add(1)
			}
			return nil
		})
	}
	return writers.wait()
}

// fanReader is one reader. Its fields belong to its goroutine.
type fanReader struct {
	f     *fanout
	name  int
	have  uint64
	state *client.State // of those that decode everything
}

func (f *fanout) reader(i int) *fanReader {
	r := &fanReader{f: f, name: i}
	if i < f.o.Decoders {
		r.state = client.NewState(fanSession, true)
	}
	return r
}

func (r *fanReader) run(ctx context.Context, l *line) error {
	return l.read(ctx, func(t wire.Type, msg []byte) error {
		err := r.frame(t, msg)
		if err != nil {
			r.f.fail(err)
		}
		return err
	})
}

func (r *fanReader) frame(t wire.Type, msg []byte) error {
	if r.state != nil {
		f, err := wire.DecodeServer(msg)
		if err != nil {
			return err
		}
		if _, err := r.state.Apply(f); err != nil {
			return err
		}
	}
	switch t {
	case wire.TypeLive:
		r.f.live.Add(1)
	case wire.TypeEntry:
		return r.entry(msg)
	case wire.TypeSub:
	default:
		return violation("reader %d received a frame that nobody sent: %s", r.name, msg)
	}
	return nil
}

// entry checks that the offset is the next one and the frame is that of all others.
func (r *fanReader) entry(msg []byte) error {
	s := scan{rest: msg}
	s.must(r.f.prefix)
	o := s.number()
	if s.bad || o != r.have+1 || o >= uint64(len(r.f.frames)) {
		return violation("reader %d has %d and received %.60s", r.name, r.have, msg)
	}
	slot := &r.f.frames[o]
	first := slot.Load()
	if first == nil {
		sent, err := checkFanFrame(msg, o)
		if err != nil {
			return err
		}
		slot.CompareAndSwap(nil, &fanFrame{bytes.Clone(msg), sent})
		first = slot.Load()
	}
	if !bytes.Equal(first.bytes, msg) {
		return violation("reader %d received another entry %d than the first reader", r.name, o)
	}
	r.have = o
	r.f.late.add(time.Duration(time.Now().UnixNano() - first.sent))
	r.f.delivered.Add(1)
	return nil
}

// checkFanFrame decodes a frame in full and checks what the writer put into it.
func checkFanFrame(msg []byte, o uint64) (sent int64, err error) {
	f, err := wire.DecodeServer(msg)
	if err != nil {
		return 0, err
	}
	e, ok := f.(*wire.EntryFrame)
	var m fanMessage
	switch {
	case !ok || uint64(e.Entry.Offset) != o:
		return 0, violation("a frame reads as entry %d and decodes as %#v", o, f)
	case json.Unmarshal(e.Entry.Data, &m) != nil || m.Sum != m.sum():
		return 0, violation("entry %d is not as it was written: %s", o, msg)
	}
	return m.Sent, nil
}
