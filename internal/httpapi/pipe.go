package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// maxPiece is how many bytes a pipe puts into one fragment at most.
const maxPiece = 64 << 10

// pipe is one request that brings the text of one part of a run as it comes into being. All fields belong to the
// request's goroutine.
type pipe struct {
	a      *api
	c      *call
	tenure *tenure

	// What was asked for.
	id     string
	part   string
	at     uint64
	data   jsontext.Value
	end    bool
	rollup time.Duration
	opened bool // by this request, not by an earlier one

	// How the run stands, as far as this producer knows.
	run   holdfast.RunInfo
	epoch holdfast.Epoch

	// known is what the run has of the text from where the body now is; the body must begin with it.
	known []byte
	// pos is how many bytes of the part's text the body has told, at included.
	pos uint64
	// split holds back the first bytes of a character whose rest has not come.
	split splitter
}

type pipeAnswer struct {
	Epoch     holdfast.Epoch      `json:"epoch"`
	Run       holdfast.Offset     `json:"run"`
	ID        string              `json:"id"`
	Fragments holdfast.FragmentNo `json:"fragments"`
	TextBytes int64               `json:"textBytes"`
	Status    holdfast.RunStatus  `json:"status"`
}

func (a *api) putPipe(c *call) error {
	p := &pipe{a: a, c: c, tenure: a.tenure(c)}
	defer p.tenure.release()
	if err := p.readRequest(); err != nil {
		return err
	}
	c.w.Header().Set("Holdfast-Run", p.id)
	if err := p.heed(p.open()); err != nil {
		return err
	}
	in := startIntake(c.r.Body)
	err := p.heed(p.pump(in))
	if !c.bodyRead {
		// The answer goes out before the reading is broken off; it says why.
		a.refuse(c, err)
		in.stop()
		in.wait()
		return nil
	}
	in.wait()
	if err != nil {
		return err
	}
	return c.answer(createdUnless(!p.opened), pipeAnswer{p.epoch, p.run.Run, p.id, p.run.Fragments, p.run.TextBytes, p.run.Status})
}

func (p *pipe) readRequest() error {
	c := p.c
	q := readQuery(c, "id", "part", "data", "at", "end", "rollup")
	p.part, p.end, p.at = q.str("part"), q.flag("end", true), q.number("at", 0, maxNumber)
	p.rollup = milliseconds(q.number("rollup", 0, maxRollup))
	if q.err != nil {
		return q.err
	}
	if err := checkEncoding(c.r); err != nil {
		return err
	}
	if err := checkTextType(c.r.Header.Get("Content-Type")); err != nil {
		return err
	}
	if p.part != "" {
		if err := holdfast.ValidateKey("the query parameter part", p.part); err != nil {
			return err
		}
	}
	if q.has("data") {
		p.data = jsontext.Value(q.str("data"))
		if err := p.data.Compact(); err != nil {
			return holdfast.Wrap(holdfast.CodeInvalid, err, "the query parameter data is not valid JSON")
		}
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	if q.has("id") && q.str("id") == "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "the query parameter id is empty; leave it out to have one made")
	}
	if p.id, err = oneID(q.str("id"), key); err != nil {
		return err
	}
	if p.id == "" && p.at > 0 {
		return holdfast.Errorf(holdfast.CodeInvalid, "the query parameter at goes on with a run; give its id too")
	}
	if p.id == "" {
		p.id = "pipe-" + strings.ToLower(rand.Text())
	}
	return nil
}

// checkTextType refuses texts that say they are not UTF-8. The type itself is not looked at: senders that stream a
// file give it whatever name their tool does.
func checkTextType(value string) error {
	_, params, err := mime.ParseMediaType(value)
	if charset, given := params["charset"]; err == nil && given && !strings.EqualFold(charset, "utf-8") {
		return statusError(http.StatusUnsupportedMediaType, "a run's text is UTF-8; convert it from %s", clip(charset))
	}
	return nil
}

// open opens the run, or takes over the one that an earlier request with this id opened and finds what of the text it
// has. The take-over comes first: after it the earlier producer can add nothing.
func (p *pipe) open() error {
	entry := driver.NewEntry{Kind: holdfast.KindRun, ID: p.id}
	if p.data != nil {
		entry.Data = []byte(p.data)
	}
	res, err := p.a.apply(p.c, driver.OpenRunOp{Entry: entry, TakeOver: true, Rollup: p.rollup})
	if err != nil {
		return err
	}
	p.run, p.epoch, p.pos, p.opened = res.Run, res.Epoch, p.at, !res.Entries[0].Duplicate
	// A completed run is not refused yet: if the body is its text, this is the repeat of a request whose answer was lost.
	if p.run.Status.Ended() && p.run.Status != holdfast.RunComplete {
		return p.ended()
	}
	if p.run.Stop.State != "" && !p.run.Status.Ended() {
		return p.stopped(&p.run)
	}
	text, err := p.textSoFar()
	if err != nil {
		return err
	}
	if p.at > uint64(len(text)) {
		return &holdfast.Error{Code: holdfast.CodeGap, Run: &p.run, Message: "the run has " + count(len(text)) +
			" bytes of this part, fewer than at; repeat the request from there, or without at and from the start"}
	}
	p.known = text[p.at:]
	return nil
}

func (p *pipe) textSoFar() ([]byte, error) {
	if p.opened || p.run.Fragments == 0 {
		return nil, nil
	}
	ctx, cancel := p.a.storeContext(p.c, false)
	defer cancel()
	e, err := p.a.Log.Run(ctx, p.c.session, p.run.Run, 0)
	if err != nil {
		return nil, err
	}
	return []byte(e.Run.Body.Text(p.part)), nil
}

// pump moves the body into the run until the body ends or something is in the way. It is the only writer.
func (p *pipe) pump(in *intake) error {
	lost, release := p.hold()
	defer release()
	check := time.NewTicker(p.a.Limits.PipeCheck)
	defer check.Stop()
	for {
		select {
		case first, ok := <-in.chunks:
			p.c.bodyRead = !ok
			if err := p.allowed(); err != nil {
				return err
			}
			if !ok {
				return p.finish(in.err)
			}
			if err := p.take(in.gather(first, maxPiece)); err != nil {
				return err
			}
		case <-p.tenure.changed:
			if err := p.allowed(); err != nil {
				return err
			}
		case <-p.tenure.expired:
			return p.allowed()
		case <-lost:
			lost = nil // heard; from here on the ticker looks
			if err := p.stillMine(); err != nil {
				return err
			}
		case <-check.C:
			if err := p.stillMine(); err != nil {
				return err
			}
		case <-p.a.Stopping:
			return holdfast.Errorf(holdfast.CodeUnavailable, "the server is stopping; the run stays open with what has arrived; "+
				"repeat the request with the same id")
		}
	}
}

// allowed reports whether the token is still good. The run stays open without it: another one may go on.
func (p *pipe) allowed() error {
	if p.tenure.over() {
		return holdfast.Errorf(holdfast.CodeUnauthorized, "the token has expired; the run stays open with what has arrived; "+
			"repeat the request with the same id and a new token")
	}
	return p.tenure.check()
}

func (p *pipe) hold() (lost <-chan struct{}, release func()) {
	if p.a.Leases == nil || p.run.Status.Ended() {
		return nil, func() {}
	}
	return p.a.Leases.Hold(p.c.session, p.run.Run, p.run.Fence)
}

// take puts what has arrived into the run, as one fragment.
func (p *pipe) take(data []byte) error {
	rest, err := p.skipKnown(data)
	if err != nil || len(rest) == 0 {
		return err
	}
	if p.run.Status.Ended() {
		return p.ended()
	}
	text, bad := p.split.next(rest)
	if err := p.append(text); err != nil {
		return err
	}
	if bad {
		return holdfast.Errorf(holdfast.CodeInvalid, "the body is not valid UTF-8 at byte %d of the part's text; the run stays "+
			"open with what comes before; repeat the request with the same id and at=%d and a text in UTF-8", p.pos, p.pos)
	}
	return nil
}

// skipKnown compares the body with what the run has and returns what goes beyond.
func (p *pipe) skipKnown(data []byte) ([]byte, error) {
	n := min(len(data), len(p.known))
	if !bytes.Equal(data[:n], p.known[:n]) {
		i := 0
		for data[i] == p.known[i] {
			i++
		}
		return nil, &holdfast.Error{Code: holdfast.CodeConflict, Run: &p.run, Message: "the body differs from what the run has, " +
			"at byte " + count(int(p.pos)+i) + " of the part's text; a run cannot be rewritten, so end it and open another one"}
	}
	p.known = p.known[n:]
	p.pos += uint64(n)
	return data[n:], nil
}

func (p *pipe) append(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if most := p.a.Limits.Run; p.run.Bytes+int64(len(text)) > most {
		return &holdfast.Error{Code: holdfast.CodeTooLarge, Run: &p.run, Message: "a run has at most " + count(int(most)) +
			" bytes; it stays open with what has arrived, so end it"}
	}
	fragment := holdfast.Fragment{Part: p.part, Text: string(text)}
	// With its number, since what an engine repeats inside must not be written twice.
	res, err := p.a.apply(p.c, driver.AppendFragments{
		Run: p.run.Run, Fence: p.run.Fence, After: int64(p.run.Fragments), Fragments: []holdfast.Fragment{fragment},
	})
	if err != nil {
		return err
	}
	if res.Repeated > 0 {
		return &holdfast.Error{Code: holdfast.CodeConflict, Run: &res.Run, Message: "another request appends to the run as the " +
			"same producer; one at a time can, so leave one of them and repeat this one with the same id"}
	}
	p.run = res.Run
	p.pos += uint64(len(text))
	return nil
}

// finish is what the end of the body leads to. Everything that arrived has been written by now.
func (p *pipe) finish(cause error) error {
	switch {
	case cause != io.EOF:
		return holdfast.Wrap(holdfast.CodeInvalid, cause, "the body broke off; the run stays open with %d bytes of the part's "+
			"text; repeat the request with the same id", p.pos)
	case p.split.pending():
		return holdfast.Errorf(holdfast.CodeInvalid, "the body ends inside a character; the run stays open with %d bytes of the "+
			"part's text; repeat the request with the same id", p.pos)
	case len(p.known) > 0 && p.end:
		return &holdfast.Error{Code: holdfast.CodeConflict, Run: &p.run, Message: "the body ends at byte " + count(int(p.pos)) +
			" of the part's text, but the run has more; send the whole text, or end the run by POST to its end"}
	case p.run.Status.Ended() || !p.end:
		return nil
	}
	res, err := p.a.apply(p.c, driver.EndRun{Run: p.run.Run, Fence: p.run.Fence, Status: holdfast.RunComplete})
	if err != nil {
		return err
	}
	p.run = res.Run
	return nil
}

// heed ends the run as stopped if that is why the pipe ends, and its end is the pipe's to say: whoever sends a text to its end
// has nothing else that would.
func (p *pipe) heed(err error) error {
	if holdfast.CodeOf(err) != holdfast.CodeStopped || !p.end || p.run.Status.Ended() {
		return err
	}
	res, failed := p.a.apply(p.c, driver.EndRun{Run: p.run.Run, Fence: p.run.Fence, Status: holdfast.RunStopped})
	if failed != nil {
		return err // the grace will end it
	}
	p.run = res.Run
	return p.stopped(&res.Run)
}

func (p *pipe) stopped(r *holdfast.RunInfo) error {
	message := "a stop of the run was requested; stop writing"
	if !r.Status.Ended() {
		message += ", and end it as stopped"
	}
	return &holdfast.Error{Code: holdfast.CodeStopped, Run: r, Message: message}
}

func (p *pipe) ended() error {
	if p.run.Status == holdfast.RunStopped && p.run.Stop.State != "" {
		return p.stopped(&p.run)
	}
	return &holdfast.Error{Code: holdfast.CodeEnded, Run: &p.run, Message: "the run has ended: " + string(p.run.Status) +
		"; stop writing"}
}

// stillMine looks whether the run is open and this pipe its producer, as an append would find out.
func (p *pipe) stillMine() error {
	if p.run.Status.Ended() {
		return nil
	}
	ctx, cancel := p.a.storeContext(p.c, true)
	defer cancel()
	info, err := p.a.Log.Info(ctx, p.c.session)
	if err != nil {
		return err
	}
	for i := range info.Open {
		r := &info.Open[i]
		switch {
		case r.Run != p.run.Run || info.Epoch != p.epoch:
			continue
		case r.Fence == p.run.Fence && r.Stop.State != "":
			return p.stopped(r)
		case r.Fence == p.run.Fence:
			return nil
		}
		return &holdfast.Error{Code: holdfast.CodeFenced, Run: r, Message: "another producer has taken the run over; stop writing"}
	}
	return p.howItEnded(ctx, info.Epoch)
}

func (p *pipe) howItEnded(ctx context.Context, epoch holdfast.Epoch) error {
	if epoch != p.epoch {
		return holdfast.Errorf(holdfast.CodeNotFound, "the session was deleted, and the run with it; stop writing")
	}
	e, err := p.a.Log.Run(ctx, p.c.session, p.run.Run, p.run.Fragments)
	if err != nil {
		return err
	}
	p.run.Status, p.run.Fence, p.run.Fragments, p.run.Tag = e.Run.Status, e.Run.Fence, e.Run.Fragments, e.Run.Tag
	p.run.Stop = e.Run.Stop
	return p.ended()
}
