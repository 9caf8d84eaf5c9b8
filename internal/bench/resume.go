package bench

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/wire"
)

// ResumeOptions are those of [Resume]. The zero value is the standard measurement.
type ResumeOptions struct {
	// Tokens is how many fragments the answer has. Default: 20,000.
	Tokens int
	// Missed lists how many of the last fragments were missed. Default: 40 and 2,400, which is a second and a minute of a
	// quick model, and all.
	Missed []int
}

// Resume measures what bringing a reader of one long answer up to date costs on the wire, by how much of it was missed.
func Resume(ctx context.Context, t *Target, o ResumeOptions) (*Report, error) {
	def(&o.Tokens, 20_000)
	if len(o.Missed) == 0 {
		o.Missed = []int{40, 2400, o.Tokens}
	}
	backend, err := newAPI(t)
	if err != nil {
		return nil, err
	}
	defer backend.close()
	r := newReport("resume", map[string]any{"tokens": o.Tokens, "missed": o.Missed})
	s := &resume{Report: r, o: o, api: backend, swarm: newSwarm(t), readers: map[int]*client.State{}}
	if s.token, err = t.userToken("reader"); err != nil {
		return nil, err
	}
	return r, s.run(ctx)
}

const resumeSession = holdfast.SessionID("resume")

type resume struct {
	*Report
	o     ResumeOptions
	api   *api
	swarm *swarm
	token string
	// readers are those that dropped, by how many fragments they missed since; written is how many there are.
	readers map[int]*client.State
	written int
}

// tokenText is the n-th token: about as long as a model's.
func tokenText(n int) string { return fmt.Sprint(" w", n%997) }

func tokens(from, to int) string {
	var b strings.Builder
	for n := from; n < to; n++ {
		b.WriteString(tokenText(n))
	}
	return b.String()
}

func (s *resume) run(ctx context.Context) error {
	run, err := s.api.openRun(ctx, resumeSession, "answer")
	if err != nil {
		return err
	}
	for s.written < s.o.Tokens {
		if err := s.write(ctx, run); err != nil {
			return err
		}
	}
	if err := s.comeBack(ctx, "open run"); err != nil {
		return err
	}
	if err := run.complete(ctx); err != nil {
		return err
	}
	return s.comeBack(ctx, "ended run")
}

// write appends the next fragments, up to where a reader leaves.
func (s *resume) write(ctx context.Context, run *openRun) error {
	next := min(s.o.Tokens, s.written+500)
	for _, missed := range s.o.Missed {
		at := s.o.Tokens - missed
		if at > s.written {
			next = min(next, at)
		} else if at == s.written {
			if err := s.leave(ctx, missed); err != nil {
				return err
			}
		}
	}
	var texts []string
	for n := s.written; n < next; n++ {
		texts = append(texts, tokenText(n))
	}
	s.written = next
	return run.write(ctx, texts...)
}

// leave reads what is there, and drops the connection.
func (s *resume) leave(ctx context.Context, missed int) error {
	state := client.NewState(resumeSession, true)
	if _, err := s.connect(ctx, state, 0); err != nil {
		return err
	}
	s.readers[missed] = state
	return nil
}

// comeBack lets each reader come back, without changing what it remembers, and counts.
func (s *resume) comeBack(ctx context.Context, what string) error {
	for _, missed := range s.o.Missed {
		state := client.NewState(resumeSession, true)
		have := s.o.Tokens - missed
		if missed < s.o.Tokens {
			cursor := s.readers[missed].Cursor()
			if cursor == nil {
				return violation("the reader that missed %d fragments has no cursor", missed)
			}
			state = client.NewStateAt(resumeSession, *cursor, true)
		}
		bytes, err := s.connect(ctx, state, have)
		if err != nil {
			return err
		}
		text := float64(len(tokens(have, s.o.Tokens)))
		name := fmt.Sprintf("%s, %d of %d fragments missed: ", what, missed, s.o.Tokens)
		s.add(name+"text", text, "bytes")
		s.add(name+"round trips after the dial", 1, "")
		s.atMost(name+"received in all", float64(bytes), 1.2*text+kib, "bytes")
	}
	return nil
}

// connect says hello, and nothing more: that is the one round trip. It reads until the reader is caught up, checks the
// text after the first have tokens, and returns how many bytes came, the handshake included.
func (s *resume) connect(ctx context.Context, state *client.State, have int) (int64, error) {
	sub := wire.Sub{Session: resumeSession, Cursor: state.Cursor()}
	state.Resubscribe()
	l, err := s.swarm.open(ctx, s.token, "reader", sub)
	if err != nil {
		return 0, err
	}
	defer l.conn.Abort()
	var text strings.Builder
	err = l.read(ctx, func(_ wire.Type, msg []byte) error {
		f, err := wire.DecodeServer(msg)
		if err != nil {
			return err
		}
		change, err := state.Apply(f)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *wire.EntryFrame:
			text.WriteString(f.Entry.Run.Body.Text(""))
		case *wire.FragFrame:
			text.WriteString(f.Fragment.Text)
		}
		if change.Kind == client.CaughtUp {
			return errDone
		}
		return nil
	})
	if err != nil {
		s.fail(err)
		return 0, err
	}
	if got, want := text.String(), tokens(have, s.written); got != want {
		s.fail(violation("after token %d came %d bytes, want %d, or others", have, len(got), len(want)))
	}
	received, _ := l.conn.Bytes()
	return received, nil
}
