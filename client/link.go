package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport/ws"
	"github.com/holdfast/holdfast/wire"
)

// link is the socket of one dial, from the dialing on. Its reader is a goroutine that ends with the connection, its writer
// one that ends when the link is let go of: so nobody ever waits for a dead socket. Run waits for both before it returns.
type link struct {
	// Static after construction. ctx ends when the link is let go of.
	client *Client
	n      uint64
	ctx    context.Context
	cancel context.CancelFunc
	// bell has room for one: there is something to write. wrote is closed when the writer has ended.
	bell  chan struct{}
	wrote chan struct{}

	// Owned by Run. started: it is being dialed, or more. tokenless: there is no token for it yet.
	started, open, tokenless bool
	// What Run has seen of heard, said and the bytes that came.
	heardTold, saidTold instant
	bytesTold           int64

	// heard and said are the instants of the latest frames; whole is how many bytes had come with the latest one that was
	// heard; busy: the application holds the reader up.
	heard, said atomic.Int64
	whole       atomic.Int64
	busy        atomic.Bool
	// dismissed: the server has said goodbye.
	dismissed atomic.Bool

	// Guarded by mu.
	mu   sync.Mutex
	conn Conn
	out  [][]byte
	// gone: it was let go of. last: what is in out is all, then the connection is closed.
	gone, last bool
}

func (c *Client) newLink(n uint64) *link {
	l := &link{client: c, n: n, bell: make(chan struct{}, 1), wrote: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	return l
}

// start begins to dial.
func (l *link) start() {
	l.started = true
	// Ends when the dial fails or the connection ends, at the latest by abandon or leave; Run waits for it.
	l.client.all.Go(l.run)
}

// run dials and reads. What happens, it tells Run.
func (l *link) run() {
	c := l.client
	conn, err := c.opts.Dial(l.ctx, c.below(strconv.FormatUint(l.n, 10)))
	if err != nil {
		e := event{kind: onClosed, n: l.n, code: codeAbnormal, reason: holdfast.MessageOf(err)}
		if holdfast.CodeOf(err) == holdfast.CodeInvalid {
			// No other dial will do better.
			e.code = holdfast.CloseNormal
		}
		l.tell(func() { c.closed(e, err) })
		return
	}
	if !l.adopt(conn) {
		conn.Abort()
		return
	}
	l.tell(func() {
		l.open = true
		c.proceed(l)
	})
	e, err := l.read(conn)
	l.tell(func() { c.closed(e, err) })
}

// adopt makes the connection the link's, unless nobody wants it any more, and begins to write.
func (l *link) adopt(conn Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return false
	}
	l.conn = conn
	// Ends when the link is let go of, and what it was told to write is written or cannot be; Run waits for it.
	l.client.all.Go(func() {
		defer close(l.wrote)
		l.write(conn)
	})
	return true
}

// tell has Run do something about the link, unless it was let go of meanwhile.
func (l *link) tell(f func()) {
	c := l.client
	select {
	case c.inbox <- func() {
		if c.links[l.n] == l {
			f()
		}
	}:
	case <-l.ctx.Done():
	}
}

// Close codes of RFC 6455 §7.4.1 that are never sent.
const (
	codeNone     holdfast.CloseCode = 1005
	codeAbnormal holdfast.CloseCode = 1006
)

// read takes frames until the connection ends, or the server says goodbye.
func (l *link) read(conn Conn) (event, error) {
	for {
		msg, err := conn.Read()
		if err != nil {
			return l.ended(err)
		}
		l.whole.Store(received(conn))
		l.heard.Store(int64(l.client.now()))
		f, err := wire.DecodeServer(msg)
		if err != nil {
			conn.Close(holdfast.CloseProtocol, holdfast.MessageOf(err))
			return l.ended(err)
		}
		if bye, ok := f.(*wire.Bye); ok {
			l.dismissed.Store(true)
			return l.farewell(bye)
		}
		l.client.handle(l, f)
	}
}

// received is how many bytes came over a connection; 0 if it does not tell.
func received(conn Conn) int64 {
	if c, ok := conn.(interface{ Bytes() (received, sent int64) }); ok {
		n, _ := c.Bytes()
		return n
	}
	return 0
}

// news is when something last came, if that was since the last time. A reader that the application holds up hears nothing,
// which says nothing about the connection; and on a slow line a large frame takes its time, during which its bytes are a
// sign of life.
func (l *link) news(now instant) (at instant, some bool) {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	heard, bytes := instant(l.heard.Load()), received(conn)
	some = heard != l.heardTold
	partial := bytes > l.whole.Load() && bytes != l.bytesTold
	l.heardTold, l.bytesTold = heard, bytes
	if partial || l.busy.Load() {
		return now, true
	}
	return heard, some
}

func (l *link) ended(err error) (event, error) {
	e := event{kind: onClosed, n: l.n, code: codeAbnormal, reason: holdfast.MessageOf(err)}
	var closed *ws.CloseError
	if !errors.As(err, &closed) {
		return e, err
	}
	e.code, e.reason = closed.Code, closed.Reason
	if e.code == 0 {
		e.code = codeNone
	}
	return e, &CloseError{e.code, e.reason}
}

func (l *link) farewell(bye *wire.Bye) (event, error) {
	return event{
		kind: onClosed, n: l.n, code: bye.Code, reason: bye.Reason, told: bye.After > 0 || bye.Spread > 0,
		after: millis(bye.After), spread: millis(bye.Spread),
	}, &CloseError{bye.Code, bye.Reason}
}

// send has frames written. What cannot be is lost with the connection.
func (l *link) send(frames ...wire.ClientFrame) {
	if len(frames) == 0 {
		return
	}
	l.said.Store(int64(l.client.now()))
	l.mu.Lock()
	for _, f := range frames {
		l.out = append(l.out, wire.AppendClient(nil, f))
	}
	l.mu.Unlock()
	ring(l.bell)
}

// lastWords is how long a link that ends may take: to find out why, where it cannot be written to, or to say goodbye.
const lastWords = time.Second

func (l *link) write(conn Conn) {
	for {
		select {
		case <-l.bell:
		case <-l.ctx.Done():
		}
		l.mu.Lock()
		msgs, gone, last := l.out, l.gone, l.last
		l.out = nil
		l.mu.Unlock()
		if len(msgs) > 0 && (!gone || last) {
			if err := conn.Write(msgs...); err != nil {
				l.unwritten(conn)
				return
			}
		}
		switch {
		case last:
			conn.Close(holdfast.CloseNormal, "")
			return
		case gone:
			return
		}
	}
}

// unwritten gives the reader time. A server that closes before it has read what is being written said why, and the reader is
// about to find it; without waiting for that, the code that says not to come back would be lost.
func (l *link) unwritten(conn Conn) {
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-l.ctx.Done():
	case <-t.C:
		conn.Abort()
	}
}

// abandon lets go of the link without a word.
func (l *link) abandon() {
	switch conn := l.letGo(false); {
	case conn == nil:
	case l.dismissed.Load():
		l.linger(conn)
	default:
		conn.Abort()
	}
	l.cancel()
}

// Sockets whose server has said goodbye are closed after lingerTime and a random part of lingerSpread; the server waits a second for that.
const (
	lingerTime   = 300 * time.Millisecond
	lingerSpread = 500 * time.Millisecond
)

// linger closes the socket of a link that the server has said goodbye to, some time later. A server that leaves says goodbye to
// thousands at once: to have them all close their sockets would take the machine, and proxies, from those who go on elsewhere at
// that very moment.
func (l *link) linger(conn Conn) {
	// Ends after that time, at the latest with Run, which waits for it.
	l.client.all.Go(func() {
		t := time.NewTimer(lingerTime + rand.N(lingerSpread))
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.client.ctx.Done():
		}
		conn.Abort()
	})
}

// leave lets go of it with a goodbye, and does not wait for it.
func (l *link) leave(bye *wire.Bye) {
	l.send(bye)
	conn := l.letGo(true)
	l.cancel()
	if conn == nil {
		return
	}
	// Ends when the goodbye was written, at the latest after lastWords; Run waits for it.
	l.client.all.Go(func() {
		t := time.NewTimer(lastWords)
		defer t.Stop()
		select {
		case <-l.wrote:
		case <-t.C:
		}
		conn.Abort()
	})
}

func (l *link) letGo(last bool) Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone, l.last = true, last
	return l.conn
}
