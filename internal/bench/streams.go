package bench

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/wire"
)

// StreamsOptions are those of [Streams]. The zero value is the standard measurement.
type StreamsOptions struct {
	// Runs is how many answers are written at once, each into a session of its own with one reader. Default: 1,000.
	Runs int
	// Rate is how many fragments each gets per second. Default: 20.
	Rate int
	// Duration is how long is written. Default: 15 s.
	Duration time.Duration
	// Requests makes one HTTP request of each fragment. Default: one request pipes the whole answer.
	Requests bool
	// Decoders is how many readers decode every frame in full. Default: 16.
	Decoders int
}

// Streams measures how long the fragments of many answers take from the producer to the reader. Every reader checks its text.
func Streams(ctx context.Context, t *Target, o StreamsOptions) (*Report, error) {
	def(&o.Runs, 1000)
	def(&o.Rate, 20)
	def(&o.Duration, 15*time.Second)
	def(&o.Decoders, 16)
	backend, err := newAPI(t)
	if err != nil {
		return nil, err
	}
	defer backend.close()
	r := newReport("streams", map[string]any{
		"runs": o.Runs, "rate": o.Rate, "duration": o.Duration.String(), "requests": o.Requests, "decoders": o.Decoders,
	})
	s := &streams{Report: r, o: o, target: t, api: backend, produced: make([]atomic.Int64, o.Runs)}
	return r, s.run(ctx)
}

type streams struct {
	*Report
	o      StreamsOptions
	target *Target
	api    *api

	live, ended, received atomic.Int64
	// produced counts the pieces that were written, by run.
	produced []atomic.Int64
	late     latencies
}

func (s *streams) session(i int) holdfast.SessionID {
	return holdfast.SessionID(fmt.Sprint("stream-", i))
}

// A piece is the text of one fragment: its number, when it was written, and a sum over both and the run's number; all in
// pieceSize bytes without anything that JSON escapes.
const pieceSize = 48

func pieceText(run, n int, at int64) []byte { return appendPiece(nil, run, n, at) }

func appendPiece(p []byte, run, n int, at int64) []byte {
	begin := len(p)
	p = appendPadded(p, uint64(n), 7)
	p = appendPadded(append(p, ' '), uint64(at), 19)
	sum := crc32.Update(uint32(run), crc32.IEEETable, p[begin:])
	p = appendPadded(append(p, ' '), uint64(sum), 10)
	return append(append(p, ' '), "and so on"[:pieceSize-39]...)
}

// appendPadded writes a number in so many digits. fmt would do, at ten times the cost for each of a million pieces.
func appendPadded(p []byte, v uint64, digits int) []byte {
	p = append(p, "00000000000000000000"[:digits]...)
	for i := len(p) - 1; v > 0; i-- {
		p[i] = '0' + byte(v%10)
		v /= 10
	}
	return p
}

// checkPiece returns when the piece was written, if it is the n-th of the run.
func checkPiece(p []byte, run, n int) (time.Duration, error) {
	at, err := strconv.ParseInt(string(p[8:27]), 10, 64)
	var room [pieceSize]byte
	if err != nil || !bytes.Equal(p, appendPiece(room[:0], run, n, at)) {
		return 0, violation("run %d, piece %d reads %q", run, n, p)
	}
	return time.Duration(at), nil
}

func (s *streams) run(ctx context.Context) error {
	crew := newCrew(ctx)
	swarm := newSwarm(s.target)
	for i := range s.o.Runs {
		crew.work(func(ctx context.Context) error { return s.read(ctx, swarm, i) })
	}
	err := s.measure(crew)
	crew.stop(err)
	if waited := crew.wait(); err == nil && s.ended.Load() < int64(s.o.Runs) {
		err = waited
	}
	return err
}

func (s *streams) measure(crew *crew) error {
	all := int64(s.o.Runs)
	if err := waitFor(crew.ctx, all, s.live.Load); err != nil {
		return err
	}
	before, err := s.target.usage()
	if err != nil {
		return err
	}
	self, begun := ownCPU(), time.Now()
	for i := range s.o.Runs {
		crew.work(func(ctx context.Context) error { return s.produce(ctx, i) })
	}
	if err := waitFor(crew.ctx, all, s.ended.Load); err != nil {
		s.fail(violation("%d of %d runs were read to their end: %v", s.ended.Load(), all, err))
	}
	took := time.Since(begun)
	after, err := s.target.usage()
	if err != nil {
		return err
	}
	s.add("fragments received", float64(s.received.Load()), "")
	s.add("fragments per second", float64(s.received.Load())/took.Seconds(), "1/s")
	s.late.report(s.Report, "append to receive", 50*time.Millisecond)
	s.add("server CPU", 100*float64(after.cpu-before.cpu)/float64(took), "% of a core")
	s.add("generator CPU", 100*float64(ownCPU()-self)/float64(took), "% of a core")
	s.add("server RSS", float64(after.rss)/kib/kib, "MiB")
	return nil
}

// rampUp is the time over which the answers begin: what is measured is many that run, not many that begin in one moment.
const rampUp = 2 * time.Second

// produce writes one answer.
func (s *streams) produce(ctx context.Context, i int) error {
	every := time.Second / time.Duration(s.o.Rate)
	if err := pause(ctx, rand.N(rampUp)); err != nil {
		return err
	}
	if s.o.Requests {
		return s.produceByRequests(ctx, i, every)
	}
	body := &ticking{s: s, i: i, ctx: ctx, ticker: time.NewTicker(every), until: time.Now().Add(s.o.Duration)}
	defer body.ticker.Stop()
	return s.api.pipe(ctx, s.session(i), "answer", body)
}

func (s *streams) produceByRequests(ctx context.Context, i int, every time.Duration) error {
	run, err := s.api.openRun(ctx, s.session(i), "answer")
	if err != nil {
		return err
	}
	body := &ticking{s: s, i: i, ctx: ctx, ticker: time.NewTicker(every), until: time.Now().Add(s.o.Duration)}
	defer body.ticker.Stop()
	var piece [pieceSize]byte
	for {
		n, err := body.Read(piece[:])
		if err == io.EOF {
			return run.complete(ctx)
		}
		if err != nil {
			return err
		}
		if err := run.write(ctx, string(piece[:n])); err != nil {
			return err
		}
	}
}

// ticking is an answer as its model would write it: each Read waits until the next piece is due. One that comes late is not
// made up for, so the rate is at most what was asked for. It belongs to the goroutine that reads it.
type ticking struct {
	s      *streams
	i      int
	ctx    context.Context
	ticker *time.Ticker
	until  time.Time
	n      int
}

func (t *ticking) Read(p []byte) (int, error) {
	select {
	case <-t.ticker.C:
	case <-t.ctx.Done():
		return 0, context.Cause(t.ctx)
	}
	now := time.Now()
	if !now.Before(t.until) {
		return 0, io.EOF
	}
	// Counted before it is on its way, so that nobody receives more than was produced. A buffer of net/http or ours, which
	// has room for it.
	t.s.produced[t.i].Add(1)
	n := copy(p, pieceText(t.i, t.n, now.UnixNano()))
	t.n++
	return n, nil
}

// streamReader is one reader. Its fields belong to its goroutine.
type streamReader struct {
	s      *streams
	i      int
	prefix string
	state  *client.State // of those that decode everything

	run holdfast.Offset
	n   holdfast.FragmentNo
	// pieces are those that have come whole; part is the beginning of the next, where a fragment ended inside one.
	pieces int
	part   []byte
}

func (s *streams) read(ctx context.Context, swarm *swarm, i int) error {
	token, err := s.target.userToken(holdfast.UserID(fmt.Sprint("user-", i)))
	if err != nil {
		return err
	}
	l, err := swarm.open(ctx, token, "reader", wire.Sub{Session: s.session(i), Last: 1})
	if err != nil {
		return err
	}
	defer l.conn.Abort()
	r := &streamReader{s: s, i: i, prefix: prefixOf("frag", s.session(i))}
	if i < s.o.Decoders {
		r.state = client.NewState(s.session(i), true)
	}
	err = l.read(ctx, r.frame)
	if err != nil && ctx.Err() == nil {
		s.fail(err)
	}
	return err
}

func (r *streamReader) frame(t wire.Type, msg []byte) error {
	if t == wire.TypeFrag && r.state == nil {
		f, ok := scanFragment(msg, r.prefix)
		if !ok {
			return violation("run %d: a frame that nobody expects: %s", r.i, msg)
		}
		return r.fragment(f.run, f.n, f.m, f.text)
	}
	f, err := wire.DecodeServer(msg)
	if err != nil {
		return err
	}
	if r.state != nil {
		if _, err := r.state.Apply(f); err != nil {
			return err
		}
	}
	switch f := f.(type) {
	case *wire.Live:
		r.s.live.Add(1)
	case *wire.EntryFrame:
		if f.Entry.Run == nil || r.run != 0 {
			return violation("run %d: an entry that nobody wrote: %s", r.i, msg)
		}
		r.run, r.n = f.Entry.Offset, f.Entry.Run.Fragments
		return r.text([]byte(f.Entry.Run.Body.Text("")))
	case *wire.FragFrame:
		return r.fragment(f.Run, f.N, f.M, []byte(f.Fragment.Text))
	case *wire.EndFrame:
		return r.end(f)
	}
	return nil
}

func (r *streamReader) fragment(run holdfast.Offset, n, m holdfast.FragmentNo, text []byte) error {
	if run != r.run || n-m != r.n {
		return violation("run %d has %d fragments and received %d to %d of run %d", r.i, r.n, n-m+1, n, run)
	}
	r.n = n
	return r.text(text)
}

// text checks what came, piece by piece.
func (r *streamReader) text(text []byte) error {
	now := time.Duration(time.Now().UnixNano())
	if len(r.part) > 0 {
		text = append(r.part, text...)
	}
	for ; len(text) >= pieceSize; text = text[pieceSize:] {
		at, err := checkPiece(text[:pieceSize], r.i, r.pieces)
		if err != nil {
			return err
		}
		r.pieces++
		r.s.late.add(now - at)
		r.s.received.Add(1)
	}
	r.part = append(r.part[:0:0], text...)
	return nil
}

func (r *streamReader) end(f *wire.EndFrame) error {
	produced := int(r.s.produced[r.i].Load())
	if f.Status != holdfast.RunComplete || len(r.part) > 0 || r.pieces != produced || f.Fragments != r.n {
		return violation("run %d ended as %s with %d pieces in %d fragments, %d were written", r.i, f.Status, r.pieces, f.Fragments, produced)
	}
	if r.state != nil {
		if text := r.state.Entries()[0].Run.Body.Text(""); len(text) != produced*pieceSize {
			return violation("run %d: the client holds %d bytes, %d were written", r.i, len(text), produced*pieceSize)
		}
	}
	r.s.ended.Add(1)
	return errDone
}
