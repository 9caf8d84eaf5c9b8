// Package faults is a TCP proxy that does on purpose what networks do: it cuts connections, in the middle of a frame too,
// swallows what is sent on them, delays and throttles. The development mode puts it in front of the server, so that a
// person can try what the tests try.
//
// # Concurrency
//
// All methods may be called at any time. Every link has two goroutines, one for each direction; they end with the link,
// and Close waits for them.
package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy passes connections on.
type Proxy struct {
	// Static.
	listener net.Listener
	// upstreams are tried in turn.
	upstreams []string

	// Guarded by mu.
	mu     sync.Mutex
	links  map[*Link]struct{}
	delay  time.Duration
	rate   int
	refuse bool
	closed bool

	wg sync.WaitGroup
}

// New returns a proxy that takes connections from the listener and passes them on: to the first of the upstreams that takes
// them. Close stops it and closes the listener.
func New(l net.Listener, upstreams ...string) *Proxy {
	p := &Proxy{listener: l, upstreams: upstreams, links: map[*Link]struct{}{}}
	p.wg.Go(p.accept)
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() net.Addr { return p.listener.Addr() }

// accept ends when the listener is closed.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse, closed := p.refuse, p.closed
		if !refuse && !closed {
			p.wg.Go(func() { p.connect(client) })
		}
		p.mu.Unlock()
		if refuse || closed {
			reset(client)
		}
	}
}

func (p *Proxy) connect(client net.Conn) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	p.mu.Lock()
	if p.rate > 0 {
		dialer.Control = Narrow
	}
	p.mu.Unlock()
	var server net.Conn
	var err error
	for _, upstream := range p.upstreams {
		if server, err = dialer.Dial("tcp", upstream); err == nil {
			break
		}
	}
	if server == nil {
		reset(client)
		return
	}
	l := &Link{proxy: p, client: client, server: server, done: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.Cut()
		return
	}
	p.links[l] = struct{}{}
	rate := p.rate
	p.mu.Unlock()
	if rate > 0 {
		l.throttle(rate)
	}

	var both sync.WaitGroup
	both.Go(func() { l.pump(&l.up, client, server) })
	both.Go(func() { l.pump(&l.down, server, client) })
	both.Wait()
	l.end(false)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// SetDelay sets by how much everything is delayed, each way.
func (p *Proxy) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Throttle lets at most n bytes per second pass to the client of each link, of those to come too.
func (p *Proxy) Throttle(n int) {
	p.mu.Lock()
	p.rate = n
	p.mu.Unlock()
	for _, l := range p.Links() {
		l.throttle(n)
	}
}

// SetRefuse makes the proxy reset new connections.
func (p *Proxy) SetRefuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Links returns the live links.
func (p *Proxy) Links() []*Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*Link, 0, len(p.links))
	for l := range p.links {
		all = append(all, l)
	}
	return all
}

// Count is how many links there are.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Find returns the link that the upstream server sees as coming from an address.
func (p *Proxy) Find(remote string) (*Link, bool) {
	for _, l := range p.Links() {
		if l.server.LocalAddr().String() == remote {
			return l, true
		}
	}
	return nil, false
}

// Close stops the proxy and cuts all links.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	for _, l := range p.Links() {
		l.Cut()
	}
	p.wg.Wait()
	return err
}

// window is how many bytes a throttled link has room for, about: what a slow line holds that is under way.
const window = 4 << 10

// Link is one connection through the proxy.
type Link struct {
	proxy          *Proxy
	client, server net.Conn
	done           chan struct{}
	once           sync.Once
	up, down       way
}

// way is one direction of a link.
type way struct {
	mu sync.Mutex
	// swallow: what comes is read and dropped, and the sender sees nothing of it.
	swallow bool
	// rate is in bytes per second; 0 is unlimited. free is when what was passed on so far has gone through.
	rate int
	free time.Time
	// left is how many more bytes pass before the link is cut; negative is no limit.
	left  int
	limit bool
}

// Cut resets both sides (RST), as a middlebox does that has lost its state.
func (l *Link) Cut() { l.end(true) }

// CutAfter cuts the link when n more bytes have passed to the client: in the middle of whatever they are in.
func (l *Link) CutAfter(n int) {
	l.down.mu.Lock()
	defer l.down.mu.Unlock()
	l.down.left, l.down.limit = n, true
}

// Blackhole swallows everything from now on, both ways, and keeps the sockets open: the half-open connection that a
// phone leaves behind.
func (l *Link) Blackhole() {
	for _, w := range []*way{&l.up, &l.down} {
		w.mu.Lock()
		w.swallow = true
		w.mu.Unlock()
	}
}

func (l *Link) throttle(n int) {
	l.down.mu.Lock()
	defer l.down.mu.Unlock()
	l.down.rate = n
	if c, ok := l.server.(*net.TCPConn); ok {
		// So that what waits is felt by the server and not hidden in buffers of ours.
		_ = c.SetReadBuffer(window)
	}
}

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.done }

func (l *Link) end(rst bool) {
	l.once.Do(func() {
		if rst {
			reset(l.client)
			reset(l.server)
		} else {
			_ = l.client.Close()
			_ = l.server.Close()
		}
		close(l.done)
	})
}

// reset closes with RST: an unread end, not an orderly one.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// pump carries one direction until either side ends. An end that a blackhole would swallow is swallowed.
func (l *Link) pump(w *way, from, to net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf[:w.size(len(buf))])
		if n > 0 && !l.carry(w, to, buf[:n]) {
			l.end(true)
			return
		}
		if err != nil {
			l.finish(w, to, err)
			return
		}
	}
}

func (l *Link) finish(w *way, to net.Conn, err error) {
	w.mu.Lock()
	swallow := w.swallow
	w.mu.Unlock()
	switch {
	case swallow && w == &l.up:
		// The server must not notice. The link lives until the server gives the silent connection up.
		<-l.done
	case swallow:
		// It has. Half of a link, with the other half waiting as above, would stay for ever.
		l.end(true)
	case errors.Is(err, io.EOF):
		if t, ok := to.(*net.TCPConn); ok && t.CloseWrite() == nil {
			return
		}
		l.end(false)
	default:
		l.end(true)
	}
}

// size is how much to read at once: little of a throttled link.
func (w *way) size(most int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rate > 0 {
		return max(1, min(most, w.rate/10))
	}
	return most
}

// carry passes p on, late and slowly if it is to be; false means that the link is to be cut.
func (l *Link) carry(w *way, to net.Conn, p []byte) bool {
	l.proxy.mu.Lock()
	delay := l.proxy.delay
	l.proxy.mu.Unlock()
	w.mu.Lock()
	swallow, cut := w.swallow, w.limit && len(p) >= w.left
	if w.limit {
		p = p[:min(len(p), w.left)]
		w.left -= len(p)
	}
	delay += w.passing(len(p), time.Now())
	w.mu.Unlock()
	if delay > 0 && !l.wait(delay) {
		return false
	}
	if swallow {
		return true
	}
	_, err := to.Write(p)
	return err == nil && !cut
}

// overslept is by how much a timer may be late without the line being slower for it.
const overslept = 300 * time.Millisecond

// passing returns how long it takes from now until n more bytes have gone through. The caller holds w.mu.
func (w *way) passing(n int, now time.Time) time.Duration {
	if w.rate <= 0 {
		return 0
	}
	if idle := now.Add(-overslept); w.free.Before(idle) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(n) * time.Second / time.Duration(w.rate))
	return max(w.free.Sub(now), 0)
}

func (l *Link) wait(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	select {
	case <-l.done:
		return false
	case <-ctx.Done():
		return true
	}
}
