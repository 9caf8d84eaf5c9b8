package wire

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
)

// Frames are written by hand, member after member: a frame is encoded once for all its readers, but it is encoded for
// each entry and fragment, and this is some 30 times faster than reflection.

// object appends the members of one JSON object.
type object struct {
	b     []byte
	empty bool
}

func open(dst []byte) object { return object{append(dst, '{'), true} }

func begin(dst []byte, t Type) object {
	o := open(dst)
	o.name("t")
	o.b = append(append(append(o.b, '"'), t...), '"')
	return o
}

// name appends a member's name, which is one of ours and needs no escaping.
func (o *object) name(n string) {
	if !o.empty {
		o.b = append(o.b, ',')
	}
	o.empty = false
	o.b = append(append(append(o.b, '"'), n...), '"', ':')
}

func (o *object) str(n, v string) {
	o.name(n)
	// The error says that v was not UTF-8; it has been mended with U+FFFD, and there is nothing better to send.
	o.b, _ = jsontext.AppendQuote(o.b, v)
}

// opt appends the member unless v is empty.
func (o *object) opt(n, v string) {
	if v != "" {
		o.str(n, v)
	}
}

func (o *object) uint(n string, v uint64) {
	o.name(n)
	o.b = strconv.AppendUint(o.b, v, 10)
}

func (o *object) int(n string, v int64) {
	o.name(n)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) optInt(n string, v int64) {
	if v != 0 {
		o.int(n, v)
	}
}

func (o *object) optUint(n string, v uint64) {
	if v != 0 {
		o.uint(n, v)
	}
}

// flag appends the member unless v is false.
func (o *object) flag(n string, v bool) {
	if v {
		o.bool(n, v)
	}
}

func (o *object) bool(n string, v bool) {
	o.name(n)
	o.b = strconv.AppendBool(o.b, v)
}

// raw appends v as it stands, which must be valid JSON; null if it is empty.
func (o *object) raw(n string, v json.RawMessage) {
	o.name(n)
	if len(v) == 0 {
		o.b = append(o.b, "null"...)
		return
	}
	o.b = append(o.b, v...)
}

func (o *object) optRaw(n string, v json.RawMessage) {
	if len(v) != 0 {
		o.raw(n, v)
	}
}

func (o *object) end() []byte { return append(o.b, '}') }

// Append appends the encoding of a server's frame to dst.
func Append(dst []byte, f ServerFrame) []byte {
	switch f := f.(type) {
	case *EntryFrame:
		return AppendEntry(dst, f.Session, f.Epoch, &f.Entry)
	case *FragFrame:
		return AppendFrag(dst, f)
	case *EndFrame:
		return AppendEnd(dst, f)
	case *Welcome, *Ready:
		return appendWelcome(dst, f)
	case *SubAnswer:
		return appendSubAnswer(dst, f)
	case *PageAnswer:
		return appendPage(dst, f)
	case *Ack:
		return appendAck(dst, f)
	case *ErrFrame:
		return appendErr(dst, f)
	case *Signal:
		return appendSignal(dst, f)
	case *Windows:
		return appendWindows(dst, f)
	case *Members:
		return appendMembers(dst, f)
	default:
		return appendSmall(dst, f)
	}
}

func appendSmall(dst []byte, f ServerFrame) []byte {
	var o object
	switch f := f.(type) {
	case *Live:
		o = begin(dst, TypeLive)
		o.str("s", string(f.Session))
		o.uint("o", uint64(f.Offset))
	case *Move:
		o = begin(dst, TypeMove)
		o.uint("spread", uint64(max(f.Spread, 0)))
	case *Expiring:
		o = begin(dst, TypeExpiring)
		o.int("in", f.In)
	case *ReportRequest:
		o = begin(dst, TypeReport)
	case *TokenAnswer:
		o = begin(dst, TypeToken)
		o.optInt("exp", f.Exp)
	case *Ping:
		o = begin(dst, TypePing)
		o.uint("n", f.N)
	case *Pong:
		o = begin(dst, TypePong)
		o.uint("n", f.N)
	case *Bye:
		o = begin(dst, TypeBye)
		o.uint("code", uint64(f.Code))
		o.opt("reason", f.Reason)
		o.optInt("after", f.After)
		o.optInt("spread", f.Spread)
	case *Unknown:
		// Whatever the other side called it: unlike our own types it may need escaping.
		o = open(dst)
		o.str("t", string(f.Type))
	}
	return o.end()
}

// AppendEntry appends the frame of an entry, which is of type entry or run. epoch is "" except in the first of an epoch.
func AppendEntry(dst []byte, s holdfast.SessionID, epoch holdfast.Epoch, e *holdfast.Entry) []byte {
	t := TypeEntry
	if e.Kind == holdfast.KindRun {
		t = TypeRun
	}
	o := begin(dst, t)
	o.opt("s", string(s))
	o.uint("o", uint64(e.Offset))
	if e.First != e.Offset && e.First != 0 {
		o.uint("f", uint64(e.First))
	}
	o.opt("e", string(epoch))
	o.uint("g", uint64(e.Tag))
	if t == TypeEntry {
		o.str("k", string(e.Kind))
	}
	o.opt("id", e.ID)
	o.opt("u", string(e.From.User))
	o.opt("c", string(e.From.Client))
	o.int("at", e.At.UnixMilli())
	if t == TypeEntry {
		o.opt("key", e.Key)
		o.raw("data", e.Data)
		return o.end()
	}
	o.optRaw("data", e.Data)
	return appendRun(&o, e.Run)
}

func appendRun(o *object, r *holdfast.Run) []byte {
	o.str("status", string(r.Status))
	o.uint("n", uint64(r.Fragments))
	o.uint("h", uint64(r.Tag))
	o.name("body")
	o.b = append(o.b, '[')
	for i := range r.Body {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		seg := open(o.b)
		appendFragment(&seg, r.Body[i].Part, r.Body[i].Text, r.Body[i].Event)
		o.b = seg.end()
	}
	o.b = append(o.b, ']')
	o.optRaw("end", r.End)
	o.optUint("answers", uint64(r.Answers))
	if r.Stop.State != "" {
		o.name("stop")
		stop := open(o.b)
		stop.str("id", r.Stop.ID)
		stop.opt("u", string(r.Stop.From.User))
		stop.opt("c", string(r.Stop.From.Client))
		stop.str("state", string(r.Stop.State))
		o.b = stop.end()
	}
	return o.end()
}

func appendFragment(o *object, part, text string, event json.RawMessage) {
	o.opt("p", part)
	if len(event) != 0 {
		o.raw("v", event)
		return
	}
	o.str("d", text)
}

// AppendFrag appends the frame of fragments.
func AppendFrag(dst []byte, f *FragFrame) []byte {
	o := beginFrag(dst, f)
	appendFragment(&o, f.Fragment.Part, f.Fragment.Text, f.Fragment.Event)
	return o.end()
}

func beginFrag(dst []byte, f *FragFrame) object {
	o := begin(dst, TypeFrag)
	o.str("s", string(f.Session))
	o.uint("o", uint64(f.Run))
	o.uint("n", uint64(f.N))
	if f.M > 1 {
		o.uint("m", uint64(f.M))
	}
	o.uint("h", uint64(f.Tag))
	return o
}

// MaxPiece is up to how many bytes texts are joined into one frame. A client can only see that a line is alive when a whole
// frame has come: larger ones would make a slow line look dead, and it would begin again and again.
const MaxPiece = 4 << 10

// AppendJoined appends the frame of texts that have been encoded already: each is what JSON has between the quotes.
func AppendJoined(dst []byte, f *FragFrame, texts [][]byte) []byte {
	o := beginFrag(dst, f)
	o.opt("p", f.Fragment.Part)
	o.name("d")
	o.b = append(o.b, '"')
	for _, text := range texts {
		o.b = append(o.b, text...)
	}
	o.b = append(o.b, '"')
	return o.end()
}

// Frags returns the frames that bring a reader from what c says of a run to the end of some fragments after it: one frame
// for each event and for texts of one part that can be joined. It also returns where the reader then is.
func Frags(s holdfast.SessionID, c holdfast.RunCursor, fragments []holdfast.Fragment) ([]FragFrame, holdfast.RunCursor) {
	frames := make([]FragFrame, 0, 1)
	for i := range fragments {
		f := &fragments[i]
		c.Tag = holdfast.ChainTag(c.Tag, f)
		c.Fragment++
		if n := len(frames); n > 0 && frames[n-1].joins(f) {
			last := &frames[n-1]
			last.N, last.M, last.Tag = c.Fragment, last.M+1, c.Tag
			if last.text == nil {
				last.text = []byte(last.Fragment.Text)
			}
			last.text = append(last.text, f.Text...)
			continue
		}
		frames = append(frames, FragFrame{Session: s, Run: c.Run, N: c.Fragment, M: 1, Tag: c.Tag, Fragment: *f})
	}
	for i := range frames {
		if f := &frames[i]; f.text != nil {
			f.Fragment.Text, f.text = string(f.text), nil
		}
	}
	return frames, c
}

// joins reports whether the frame can take one more fragment.
func (f *FragFrame) joins(next *holdfast.Fragment) bool {
	return len(f.Fragment.Event) == 0 && len(next.Event) == 0 && f.Fragment.Part == next.Part &&
		max(len(f.text), len(f.Fragment.Text))+len(next.Text) <= MaxPiece
}

// RunFrames returns the frames that show a run to a reader who has nothing of it: one run frame, if that is not too large.
// Else the run is shown as it was opened, and grows before the reader's eyes to what it is.
func RunFrames(s holdfast.SessionID, epoch holdfast.Epoch, e *holdfast.Entry) [][]byte {
	size := 0
	for i := range e.Run.Body {
		size += len(e.Run.Body[i].Text) + len(e.Run.Body[i].Event)
	}
	if size <= MaxPiece {
		return [][]byte{AppendEntry(nil, s, epoch, e)}
	}
	opened := *e
	opened.Run = &holdfast.Run{Status: holdfast.RunOpen, Answers: e.Run.Answers, Stop: e.Run.Stop}
	out := [][]byte{AppendEntry(nil, s, epoch, &opened)}
	frags, _ := Frags(s, holdfast.RunCursor{Run: e.Offset}, e.Run.Body.Fragments())
	for i := range frags {
		out = append(out, AppendFrag(nil, &frags[i]))
	}
	if e.Run.Status.Ended() {
		out = append(out, AppendEnd(nil, &EndFrame{
			Session: s, Run: e.Offset, Fragments: e.Run.Fragments, Tag: e.Run.Tag, Status: e.Run.Status, Data: e.Run.End,
		}))
	}
	return out
}

// AppendEnd appends the frame of a run's end.
func AppendEnd(dst []byte, f *EndFrame) []byte {
	o := begin(dst, TypeEnd)
	o.str("s", string(f.Session))
	o.uint("o", uint64(f.Run))
	o.uint("n", uint64(f.Fragments))
	o.uint("h", uint64(f.Tag))
	o.str("status", string(f.Status))
	o.optInt("at", f.At)
	o.optRaw("data", f.Data)
	return o.end()
}

// appendWelcome appends the answer to a hello of either kind.
func appendWelcome(dst []byte, f ServerFrame) []byte {
	var o object
	switch f := f.(type) {
	case *Ready:
		o = begin(dst, TypeReady)
		o.int("beat", f.Beat)
		o.int("rest", f.Rest)
	case *Welcome:
		o = begin(dst, TypeWelcome)
		o.uint("v", Version)
		o.str("conn", string(f.Conn))
		o.str("user", string(f.User))
		o.int("now", f.Now)
		o.int("beat", f.Beat)
		o.optInt("rest", f.Rest)
		o.optInt("exp", f.Exp)
		o.int("max", f.Max)
	}
	return o.end()
}

func appendSubAnswer(dst []byte, f *SubAnswer) []byte {
	o := begin(dst, TypeSub)
	o.str("s", string(f.Session))
	o.str("outcome", string(f.Outcome))
	if f.Outcome == holdfast.Denied {
		o.str("code", string(f.Code))
		o.str("msg", f.Message)
		return o.end()
	}
	o.str("e", string(f.Epoch))
	o.uint("from", uint64(f.From))
	o.uint("head", uint64(f.Head))
	o.flag("more", f.More)
	return o.end()
}

func appendPage(dst []byte, f *PageAnswer) []byte {
	o := begin(dst, TypePage)
	o.str("id", f.ID)
	o.str("s", string(f.Session))
	o.str("e", string(f.Epoch))
	o.name("items")
	o.b = append(o.b, '[')
	for i := range f.Items {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = AppendEntry(o.b, "", "", &f.Items[i])
	}
	o.b = append(o.b, ']')
	o.flag("more", f.More)
	return o.end()
}

func appendAck(dst []byte, f *Ack) []byte {
	o := begin(dst, TypeAck)
	o.str("s", string(f.Session))
	o.str("id", f.ID)
	o.uint("o", uint64(f.Offset))
	o.uint("g", uint64(f.Tag))
	o.int("at", f.At)
	o.flag("dup", f.Duplicate)
	o.opt("state", f.State)
	o.flag("lost", f.Lost)
	o.opt("u", string(f.From.User))
	o.opt("c", string(f.From.Client))
	return o.end()
}

func appendErr(dst []byte, f *ErrFrame) []byte {
	o := begin(dst, TypeErr)
	o.opt("re", string(f.Re))
	o.opt("s", string(f.Session))
	o.opt("id", f.ID)
	o.str("code", string(f.Code))
	o.str("msg", f.Message)
	o.optInt("after", f.After)
	return o.end()
}

func appendSignal(dst []byte, f *Signal) []byte {
	o := begin(dst, TypeSignal)
	o.str("s", string(f.Session))
	o.opt("u", string(f.From.User))
	o.opt("c", string(f.From.Client))
	o.raw("data", f.Data)
	return o.end()
}

// AppendClient appends the encoding of a client's frame to dst.
func AppendClient(dst []byte, f ClientFrame) []byte {
	var o object
	switch f := f.(type) {
	case *Hello:
		return appendHello(dst, f)
	case *Take:
		return appendTake(dst, f)
	case *View:
		o = begin(dst, TypeView)
		o.bool("hidden", f.Hidden)
	case *Sub:
		o = begin(dst, TypeSub)
		appendSub(&o, f)
	case *Unsub:
		o = begin(dst, TypeUnsub)
		o.str("s", string(f.Session))
	case *PageRequest:
		return appendPageRequest(dst, f)
	case *Send:
		o = begin(dst, TypeSend)
		o.str("s", string(f.Session))
		o.str("id", f.ID)
		o.flag("first", f.First)
		o.raw("data", f.Data)
	case *Stop:
		o = begin(dst, TypeStop)
		o.str("s", string(f.Session))
		o.str("id", f.ID)
		o.optUint("run", uint64(f.Run))
		o.optUint("answers", uint64(f.Answers))
	case *Answer:
		o = begin(dst, TypeAnswer)
		o.str("s", string(f.Session))
		o.str("id", f.ID)
		o.uint("request", uint64(f.Request))
		o.raw("data", f.Data)
	case *Queue:
		return appendQueue(dst, f)
	case *Signal:
		return appendSignal(dst, f)
	case *TokenRefresh:
		o = begin(dst, TypeToken)
		o.str("token", f.Token)
	case *Bye:
		o = begin(dst, TypeBye)
		o.flag("park", f.Park)
	case *Claim:
		o = begin(dst, TypeClaim)
	case *Read:
		return appendRead(dst, f)
	case ServerFrame: // ping, pong and unknown are the same both ways
		return appendSmall(dst, f)
	}
	return o.end()
}

func appendQueue(dst []byte, f *Queue) []byte {
	o := begin(dst, TypeQueue)
	o.str("s", string(f.Session))
	o.str("id", f.ID)
	o.str("do", string(f.Do))
	o.name("of")
	of := open(o.b)
	of.opt("u", string(f.Of.User))
	of.str("id", f.Of.ID)
	o.b = of.end()
	if f.Do == QueueMove {
		o.int("to", int64(f.To))
	}
	return o.end()
}

func appendPageRequest(dst []byte, f *PageRequest) []byte {
	o := begin(dst, TypePage)
	o.str("id", f.ID)
	o.str("s", string(f.Session))
	if f.Before != 0 {
		o.uint("before", uint64(f.Before))
	}
	// after shares its member with times, which are signed. No entry stands beyond either.
	o.optInt("after", int64(min(f.After, math.MaxInt64)))
	o.optInt("limit", int64(f.Limit))
	return o.end()
}

func appendHello(dst []byte, f *Hello) []byte {
	o := begin(dst, TypeHello)
	o.int("v", int64(f.Version))
	o.str("token", f.Token)
	o.str("client", string(f.Client))
	o.uint("gen", uint64(f.Gen))
	o.opt("agent", f.Agent)
	o.opt("mode", string(f.Mode))
	o.flag("hidden", f.Hidden)
	o.optInt("wait", f.Wait)
	o.opt("act", string(f.Act))
	o.opt("device", f.Device)
	o.opt("name", f.Name)
	o.flag("windows", f.Windows)
	o.subs(f.Subs)
	return o.end()
}

func appendTake(dst []byte, f *Take) []byte {
	o := begin(dst, TypeTake)
	o.uint("gen", uint64(f.Gen))
	o.flag("hidden", f.Hidden)
	o.opt("act", string(f.Act))
	o.subs(f.Subs)
	return o.end()
}

func (o *object) subs(subs []Sub) {
	o.name("subs")
	o.b = append(o.b, '[')
	for i := range subs {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		sub := open(o.b)
		appendSub(&sub, &subs[i])
		o.b = sub.end()
	}
	o.b = append(o.b, ']')
}

func appendSub(o *object, f *Sub) {
	o.str("s", string(f.Session))
	o.optInt("last", int64(f.Last))
	o.optInt("rollup", int64(f.Rollup))
	if f.Cursor != nil {
		o.name("cur")
		o.b = AppendCursor(o.b, f.Cursor)
	}
	o.opt("act", string(f.Act))
	o.flag("watch", f.Watch)
}

// AppendCursor appends a cursor as it stands in sub and hello.
func AppendCursor(dst []byte, c *holdfast.Cursor) []byte {
	o := open(dst)
	o.str("e", string(c.Epoch))
	o.uint("o", uint64(c.Offset))
	o.uint("g", uint64(c.Tag))
	if len(c.Runs) == 0 {
		return o.end()
	}
	o.name("r")
	for i, r := range c.Runs {
		o.b = append(o.b, "[,"[min(i, 1)], '[')
		o.b = strconv.AppendUint(o.b, uint64(r.Run), 10)
		o.b = strconv.AppendUint(append(o.b, ','), uint64(r.Fragment), 10)
		o.b = strconv.AppendUint(append(o.b, ','), uint64(r.Tag), 10)
		o.b = append(o.b, ']')
	}
	o.b = append(o.b, ']')
	return o.end()
}

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
