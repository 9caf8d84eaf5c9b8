package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// consumerPrefix keeps the names of the API's consumers apart from those of the server's own.
const consumerPrefix = "feed:"

// blindPoll is how often a waiting reader looks if nobody tells it of changes.
const blindPoll = time.Second

type feedItem struct {
	Cursor  string             `json:"cursor"`
	Session holdfast.SessionID `json:"session"`
	Epoch   holdfast.Epoch     `json:"epoch"`
	// Entry is there unless the item is of a member, which is not in the log.
	Entry  *entryObject  `json:"entry,omitzero"`
	Member *memberChange `json:"member,omitzero"`
	// Ended is there if the item is the end of a run; the entry then is the run without its body.
	Ended int64 `json:"ended,omitzero"`
}

// memberChange is what has become of a member of a session.
type memberChange struct {
	Change holdfast.MemberChange `json:"change"`
	User   holdfast.UserID       `json:"user"`
	Client holdfast.ClientID     `json:"client"`
	Name   string                `json:"name,omitzero"`
	Away   bool                  `json:"away"`
	Since  int64                 `json:"since"`
}

type feedAnswer struct {
	Items []feedItem `json:"items"`
	Next  string     `json:"next"`
}

func feedItemOf(i *driver.FeedItem) feedItem {
	out := feedItem{Cursor: i.Cursor, Session: i.Session, Epoch: i.Epoch}
	if m, ok := i.Entry.MemberEvent(); ok {
		from := i.Entry.From
		out.Member = &memberChange{Change: m.Change, User: from.User, Client: from.Client, Name: m.Name, Away: m.Away, Since: m.Since}
		return out
	}
	entry := entryOf(i.Epoch, &i.Entry)
	if out.Entry = &entry; i.End() {
		out.Ended = i.Ended.UnixMilli()
		out.Entry.Run.Body = nil
	}
	return out
}

// FeedItem renders an item as the feed's readers get it.
func FeedItem(i *driver.FeedItem) ([]byte, error) { return json.Marshal(feedItemOf(i)) }

// feedKinds says which items a reader wants.
type feedKinds struct{ messages, ends, stops, requests, members bool }

// kinds reads the parameter kinds. Left out, it means the messages alone, so that a reader who knows of nothing else gets
// nothing else.
func (q *query) kinds() (k feedKinds) {
	if !q.has("kinds") {
		return feedKinds{messages: true}
	}
	for kind := range strings.SplitSeq(q.str("kinds"), ",") {
		switch kind {
		case "message":
			k.messages = true
		case "end":
			k.ends = true
		case "stop":
			k.stops = true
		case "request":
			k.requests = true
		case "member":
			k.members = true
		default:
			q.fail("the query parameter kinds holds %q; message, end, stop, request and member are known", clip(kind))
		}
	}
	return k
}

func (k feedKinds) want(i *driver.FeedItem) bool {
	if i.End() {
		return k.ends
	}
	if i.Entry.Kind == holdfast.KindEvent {
		if _, ok := i.Entry.RequestEvent(); ok {
			return k.requests
		}
		if _, ok := i.Entry.MemberEvent(); ok {
			return k.members
		}
		return k.stops // the only other events that are fed
	}
	return k.messages
}

// feedReader is one reader of the feed, on its request's goroutine.
type feedReader struct {
	a      *api
	c      *call
	tenure *tenure
	after  string
	limit  int
	kinds  feedKinds
}

func (a *api) getFeed(c *call) error {
	q := readQuery(c, "after", "limit", "wait", "consumer", "kinds")
	wait, limit, kinds := q.seconds("wait", a.Limits.Wait), q.limit(a.Limits.Page), q.kinds()
	stream := wantsLines(c.r)
	if stream && q.has("wait") {
		q.fail("the query parameter wait is for answers in JSON; a stream of lines waits by itself")
	}
	if q.err != nil {
		return q.err
	}
	f := &feedReader{a: a, c: c, tenure: a.tenure(c), after: q.str("after"), limit: limit, kinds: kinds}
	defer f.tenure.release()
	if q.has("consumer") {
		stored, err := a.consumer(c, q.str("consumer"))
		if err != nil {
			return err
		}
		if !q.has("after") {
			f.after = stored
		}
	}
	if stream {
		return f.stream()
	}
	return f.poll(wait)
}

// wantsLines reports whether the request asks for the stream. What follows a HEAD has no body to wait for.
func wantsLines(r *http.Request) bool {
	return r.Method != http.MethodHead && strings.Contains(r.Header.Get("Accept"), "application/x-ndjson")
}

// next returns what follows the cursor now, if that may still be read, and moves the cursor behind it and behind what is not
// wanted. more: there may be more already.
func (f *feedReader) next() (out []feedItem, more bool, err error) {
	out = make([]feedItem, 0, f.limit)
	for more = true; more && len(out) == 0; {
		ctx, cancel := f.a.storeContext(f.c, false)
		items, err := f.a.Log.Feed(ctx, f.after, f.limit)
		cancel()
		if err != nil {
			return nil, false, err
		}
		for i := range items {
			f.after = items[i].Cursor
			if f.kinds.want(&items[i]) {
				out = append(out, feedItemOf(&items[i]))
			}
		}
		more = len(items) == f.limit
	}
	// What is read after the right was taken back is not told; no other look would be as late.
	if err := f.tenure.check(); err != nil {
		return nil, false, err
	}
	return out, more, nil
}

// changed returns the channel to wait on. It must be asked for before the feed is read, else an item between the two
// would be slept through.
func (f *feedReader) changed() <-chan struct{} {
	if f.a.FeedChanged == nil {
		return nil
	}
	return f.a.FeedChanged()
}

// pause returns after the feed or the revocations have changed (or may have), and false if there is no use in going on: the client
// has left, the server is stopping, or the time, or that of the token, is over. Without a word of a change it returns after most.
func (f *feedReader) pause(ctx context.Context, changed <-chan struct{}, most time.Duration) bool {
	if changed == nil {
		most = min(most, blindPoll)
	}
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-f.tenure.changed:
	case <-f.tenure.expired:
		return false
	case <-f.a.Stopping:
		return false
	case <-ctx.Done():
		return false
	}
	return ctx.Err() == nil && !f.tenure.over()
}

func (f *feedReader) poll(wait time.Duration) error {
	if wait > 0 {
		_ = f.c.rc.SetReadDeadline(time.Time{})
		_ = f.c.rc.SetWriteDeadline(time.Time{})
	}
	ctx, cancel := context.WithTimeout(f.c.r.Context(), wait)
	defer cancel()
	for {
		changed := f.changed()
		items, _, err := f.next()
		if err != nil {
			return err
		}
		if len(items) > 0 || !f.pause(ctx, changed, f.a.Limits.Heartbeat) {
			return f.c.answer(http.StatusOK, feedAnswer{items, f.after})
		}
	}
}

// stream sends items as they come, one per line, and blank lines when there are none for a while, until the client
// leaves, its token expires or is taken back, or the server stops.
func (f *feedReader) stream() error {
	changed := f.changed()
	items, more, err := f.next()
	if err != nil {
		return err // nothing has been said yet, so it can be a problem with a status of its own
	}
	_ = f.c.rc.SetReadDeadline(time.Time{})
	f.c.wrote = true
	f.c.w.Header().Set("Content-Type", "application/x-ndjson")
	f.c.w.WriteHeader(http.StatusOK)
	for {
		if err := f.send(items); err != nil {
			return nil // the client has left or takes nothing; it comes back with its cursor
		}
		if f.tenure.over() || !more && !f.pause(f.c.r.Context(), changed, f.a.Limits.Heartbeat) {
			return nil
		}
		changed = f.changed()
		if items, more, err = f.next(); err != nil {
			return err
		}
	}
}

// send writes items as lines, or a blank line if there are none, which shows the client that the stream lives.
func (f *feedReader) send(items []feedItem) error {
	var out []byte
	for i := range items {
		line, err := json.Marshal(&items[i])
		if err != nil {
			return err
		}
		out = append(append(out, line...), '\n')
	}
	if len(items) == 0 {
		out = []byte{'\n'}
	}
	_ = f.c.rc.SetWriteDeadline(time.Now().Add(f.a.Limits.Stall))
	if _, err := f.c.w.Write(out); err != nil {
		return err
	}
	return f.c.rc.Flush()
}

type consumerInput struct {
	Cursor *string `json:"cursor"`
}

type consumerAnswer struct {
	Name   string `json:"name"`
	Cursor string `json:"cursor"`
}

func consumerName(name string) error {
	if err := holdfast.ValidateKey("the consumer's name", name); err != nil {
		return err
	}
	if len(consumerPrefix)+len(name) > holdfast.MaxKey {
		return holdfast.Errorf(holdfast.CodeInvalid, "the consumer's name has %d bytes, at most %d are allowed", len(name),
			holdfast.MaxKey-len(consumerPrefix))
	}
	return nil
}

func (a *api) consumer(c *call, name string) (string, error) {
	if err := consumerName(name); err != nil {
		return "", err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	return a.Log.Consumer(ctx, consumerPrefix+name)
}

func (a *api) getConsumer(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	name := c.r.PathValue("name")
	cursor, err := a.consumer(c, name)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, consumerAnswer{name, cursor})
}

// postConsumer stores how far a consumer has come. Any cursor may be stored: a consumer may want to read again.
func (a *api) postConsumer(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	name := c.r.PathValue("name")
	if err := consumerName(name); err != nil {
		return err
	}
	var in consumerInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	if in.Cursor == nil {
		return holdfast.Errorf(holdfast.CodeInvalid, "/cursor is missing; send that of the last item done with, or \"\" for the start")
	}
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	// A cursor that the feed does not take would be found out only after a restart, by a consumer that cannot go on.
	if _, err := a.Log.Feed(ctx, *in.Cursor, 1); err != nil {
		return err
	}
	if err := a.Log.SetConsumer(ctx, consumerPrefix+name, *in.Cursor); err != nil {
		return err
	}
	return c.answer(http.StatusOK, consumerAnswer{name, *in.Cursor})
}
