package webhook

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/webhook/schedule"
)

// stats is what a status shows of the past.
type stats struct {
	delivered, failed time.Time
	err               string
}

func (st *stats) note(a *answer, now time.Time) {
	if a.result == schedule.Delivered {
		st.delivered = now
		return
	}
	st.failed, st.err = now, a.text
}

// Status is how an endpoint stands.
type Status struct {
	Name, URL string
	Events    []Type
	Sessions  []string
	// Disabled says why nothing is sent; "" if it is. Failing: the receiver as a whole does not answer.
	Disabled string
	Failing  bool
	// Place is the cursor of the feed up to which all is done with, but for sessions that are behind; Behind counts those.
	Place  string
	Behind int
	// Delivered and Failed are when that last happened since the server started; Error is how it failed.
	Delivered, Failed time.Time
	Error             string
}

// Statuses describes all endpoints.
func (d *Dispatcher) Statuses() []Status {
	out := make([]Status, len(d.senders))
	for i, s := range d.senders {
		s.mu.Lock()
		out[i] = Status{
			Name: s.end.Name, URL: s.end.shown(), Events: s.end.types(), Sessions: s.end.Sessions, Disabled: s.place.Disabled,
			Failing: s.table.Failing(), Place: s.table.Place(), Behind: s.table.Behind(), Delivered: s.stats.delivered,
			Failed: s.stats.failed, Error: s.stats.err,
		}
		s.mu.Unlock()
	}
	return out
}

func (d *Dispatcher) sender(name string) (*sender, error) {
	for _, s := range d.senders {
		if s.end.Name == name {
			return s, nil
		}
	}
	return nil, holdfast.Errorf(holdfast.CodeNotFound, "there is no webhook endpoint of this name")
}

// Letters lists an endpoint's dead letters after an id, in the order of the feed. They come some at a time: more may
// follow as long as there are any.
func (d *Dispatcher) Letters(ctx context.Context, endpoint, after string, limit int) ([]Letter, error) {
	s, err := d.sender(endpoint)
	if err != nil {
		return nil, err
	}
	if after != "" {
		after = s.end.letterName(after)
	}
	page, err := d.opts.Log.Consumers(ctx, s.end.letters(), after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Letter, len(page))
	for i, c := range page {
		if err := json.Unmarshal([]byte(c.Value), &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// letter reads one letter; without it, CodeNotFound.
func (s *sender) letter(ctx context.Context, id string) (l Letter, err error) {
	if err := holdfast.ValidateKey("the dead letter's id", s.end.letterName(id)); err != nil {
		return l, err
	}
	text, err := s.opts.Log.Consumer(ctx, s.end.letterName(id))
	if err != nil {
		return l, err
	}
	if text == "" {
		return l, holdfast.Errorf(holdfast.CodeNotFound, "there is no dead letter of this id; it may have been delivered")
	}
	return l, json.Unmarshal([]byte(text), &l)
}

// DropLetter removes a dead letter for good.
func (d *Dispatcher) DropLetter(ctx context.Context, endpoint, id string) error {
	s, err := d.sender(endpoint)
	if err != nil {
		return err
	}
	if _, err := s.letter(ctx, id); err != nil {
		return err
	}
	return d.remove(ctx, s.end.letterName(id))
}

// ReplayLetters sends dead letters again, and returns how many when that is noted durably; all of them if no ids are
// given. They go out under their ids and out of their sessions' order, which has gone on without them.
func (d *Dispatcher) ReplayLetters(ctx context.Context, endpoint string, ids []string) (n int, err error) {
	s, err := d.sender(endpoint)
	if err != nil {
		return 0, err
	}
	defer s.wake(s.again)
	mark := func(name string, l Letter) error {
		l.Again = true
		n++
		return d.put(ctx, name, &l)
	}
	if len(ids) == 0 {
		err := d.each(ctx, s.end.letters(), func(name, value string) error {
			var l Letter
			if err := json.Unmarshal([]byte(value), &l); err != nil {
				return err
			}
			return mark(name, l)
		})
		return n, err
	}
	for _, id := range ids {
		l, err := s.letter(ctx, id)
		if err != nil {
			return n, err
		}
		if err := mark(s.end.letterName(id), l); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Replay sends everything again that the feed has after a cursor, "" for all, and that is not older than since, if that is
// not zero. Sessions that are behind begin anew with it; dead letters stay.
func (d *Dispatcher) Replay(ctx context.Context, endpoint, after string, since time.Time) error {
	s, err := d.sender(endpoint)
	if err != nil {
		return err
	}
	if _, err := d.opts.Log.Feed(ctx, after, 1); err != nil {
		return err
	}
	return s.command(ctx, func(ctx context.Context) error { return s.rewind(ctx, after, since) })
}

// rewind is called by run. The one write of the place makes all lanes of the round before void, so that a crash after it
// cannot mix the two.
func (s *sender) rewind(ctx context.Context, after string, since time.Time) error {
	s.mu.Lock()
	p := s.place
	s.mu.Unlock()
	p.At, p.Since, p.Round = after, 0, p.Round+1
	if !since.IsZero() {
		p.Since = since.UnixMilli()
	}
	if err := s.put(ctx, s.end.placeName(), &p); err != nil {
		return err
	}
	s.mu.Lock()
	s.place, s.flushed, s.lost = p, p, false
	s.table = schedule.New(s.opts.schedule(), after, nil)
	if p.Disabled != "" {
		s.table.Disable()
	}
	s.mu.Unlock()
	s.opts.Logger.Info("a webhook endpoint was sent back in the feed", "endpoint", s.end.Name, "after", after, "since", since)
	_, err := s.storedLanes(ctx, p.Round)
	return err
}

// Enable lets an endpoint that answered 410 Gone have events again, from where it was.
func (d *Dispatcher) Enable(ctx context.Context, endpoint string) error {
	s, err := d.sender(endpoint)
	if err != nil {
		return err
	}
	defer s.wake(s.again)
	return s.command(ctx, func(ctx context.Context) error {
		s.mu.Lock()
		p := s.flushed
		s.mu.Unlock()
		p.Disabled = ""
		if err := s.put(ctx, s.end.placeName(), &p); err != nil {
			return err
		}
		s.mu.Lock()
		s.place.Disabled, s.flushed = "", p
		s.table.Enable()
		s.mu.Unlock()
		return nil
	})
}

// command has run do something, and returns when it is done.
func (s *sender) command(ctx context.Context, do func(context.Context) error) error {
	c := command{do: do, done: make(chan error, 1)}
	select {
	case s.commands <- c:
		return <-c.done
	case <-ctx.Done():
		return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "the webhook endpoint is busy; repeat it")
	}
}
