package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/faults"
	"github.com/holdfast/holdfast/wire"
)

// seat is one of the soak's many users, who lives one life after another. It is one goroutine's.
type seat struct {
	s   *soak
	n   int
	rng *rand.Rand
	gen holdfast.Generation
}

func (x *seat) user() holdfast.UserID { return holdfast.UserID(fmt.Sprintf("guest-%d", x.n)) }

// own is a session that only this user writes to.
func (x *seat) own() holdfast.SessionID { return holdfast.SessionID(fmt.Sprintf("own-%d", x.n)) }

// claims are those of an ordinary token of the user's.
func (x *seat) claims() auth.Claims {
	return auth.Claims{User: x.user(), Read: []string{"*"}, Send: []string{"own-*"}, Expires: time.Now().Add(time.Hour)}
}

// token signs claims as they are.
func (x *seat) token(c auth.Claims) string {
	token, err := auth.Mint(x.s.p.key, c)
	if err != nil {
		panic(err) // the claims are the test's own
	}
	return token
}

// stay waits for between the two.
func (x *seat) stay(least, most time.Duration) {
	<-time.After(least + time.Duration(x.rng.Int64N(int64(most-least)+1)))
}

// next is the generation of the user's next dial.
func (x *seat) next() holdfast.Generation {
	x.gen++
	return x.gen
}

// hello is that of an ordinary client, which reads some of the rooms.
func (x *seat) hello() wire.Hello {
	subs := []wire.Sub{{Session: room(x.rng.IntN(soakRooms)), Watch: x.rng.IntN(2) == 0}, {Session: x.own()}}
	return wire.Hello{Version: wire.Version, Token: x.token(x.claims()), Client: "main", Gen: x.next(), Agent: "soak", Subs: subs}
}

// guest is one WebSocket of the test's own, down to its frames.
type guest struct {
	*visit
	s  *soak
	nc net.Conn

	// mu is the right to write. Guarded by it: stuck, half a frame was written.
	mu    sync.Mutex
	stuck bool
	// greeted: it has said hello. quiet: it sends nothing by itself, not even pongs.
	greeted, quiet atomic.Bool
	// met is closed when a welcome or ready has come, over when nothing is read any more; bye is the code of the server's goodbye.
	met, over chan struct{}
	bye       atomic.Uint32
	// in belongs to the reading goroutine, once it runs.
	in *bufio.Reader
}

// line is what a guest comes over.
type line int

const (
	broad line = iota
	// thin takes 1 kB a second.
	thin
	// narrow takes little at a time, so that it is soon full when nothing is read.
	narrow
)

// dial opens a WebSocket and says nothing.
func (x *seat) dial(over line, life string, want ...ending.Class) (*guest, error) {
	v, traceparent := x.s.book.begin(life, want...)
	to, dialer := x.s.p.addr, net.Dialer{Timeout: 10 * time.Second}
	switch over {
	case thin:
		to = x.s.thin.Addr().String()
	case narrow:
		dialer.Control = faults.Narrow
	}
	d := ws.Dialer{
		Timeout: 20 * time.Second, Header: ws.HandshakeHeaderHTTP(http.Header{"Traceparent": {traceparent}}),
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, to)
		},
	}
	nc, early, _, err := d.Dial(context.Background(), fmt.Sprintf("ws://%s/v1/ws/%d", x.s.p.addr, x.gen))
	if err != nil {
		return nil, fmt.Errorf("dialing: %w", err)
	}
	if early == nil {
		early = bufio.NewReader(nc)
	}
	g := &guest{visit: v, s: x.s, nc: nc, in: early, met: make(chan struct{}), over: make(chan struct{})}
	x.s.guests.Go(g.read) // ends with the socket; finish waits for it, and the soak for all
	x.s.guests.Go(g.beat) // ends when nothing is read any more
	return g, nil
}

// come is dial with a hello, up to the answer.
func (x *seat) come(over line, hello wire.Hello, life string, want ...ending.Class) (*guest, error) {
	g, err := x.dial(over, life, want...)
	if err != nil {
		return nil, err
	}
	g.say(&hello)
	return g, g.welcomed()
}

// enter is come for a client that does nothing special before its end.
func (x *seat) enter(life string, want ...ending.Class) (*guest, error) {
	return x.come(broad, x.hello(), life, want...)
}

func (g *guest) welcomed() error {
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-g.met:
		return nil
	case <-g.over:
		select {
		case <-g.met:
			return nil
		default:
		}
	case <-timer.C:
	}
	return fmt.Errorf("no welcome came; it was told %d", g.bye.Load())
}

// read takes what comes, until the socket ends or [guest.deafen].
func (g *guest) read() {
	defer close(g.over)
	for {
		head, err := ws.ReadHeader(g.in)
		if err != nil {
			return
		}
		payload := make([]byte, head.Length) // the server is ours
		if _, err := io.ReadFull(g.in, payload); err != nil {
			return
		}
		switch head.OpCode {
		case ws.OpText:
			g.hear(payload)
		case ws.OpClose:
			g.send(ws.OpClose, payload[:min(2, len(payload))])
			return
		}
	}
}

func (g *guest) hear(msg []byte) {
	f, err := wire.DecodeServer(msg)
	if err != nil {
		g.s.t.Errorf("one who %s got %q: %v", g.life, msg, err)
		return
	}
	switch f := f.(type) {
	case *wire.Welcome:
		g.conn = string(f.Conn)
		g.meet()
	case *wire.Ready:
		g.meet()
	case *wire.Ping:
		if !g.quiet.Load() {
			g.say(&wire.Pong{N: f.N})
		}
	case *wire.Bye:
		g.bye.Store(uint32(f.Code))
	}
}

// meet is called by the reading goroutine alone.
func (g *guest) meet() {
	select {
	case <-g.met:
	default:
		close(g.met)
	}
}

// beat pings: while a stream flows the server has no reason to, and over a thin line its welcome may take a while.
func (g *guest) beat() {
	tick := time.NewTicker(soakBeat / 2)
	defer tick.Stop()
	for n := uint64(1); ; n++ {
		select {
		case <-g.over:
			return
		case <-tick.C:
		}
		if g.greeted.Load() && !g.quiet.Load() {
			g.say(&wire.Ping{N: n})
		}
	}
}

func (g *guest) say(f wire.ClientFrame) {
	g.send(ws.OpText, wire.AppendClient(nil, f))
	if _, hello := f.(*wire.Hello); hello {
		g.greeted.Store(true)
	}
}

// send sends a frame as a client must. That it fails is for the server's record to show.
func (g *guest) send(op ws.OpCode, payload []byte) {
	g.write(masked(op, payload))
}

func masked(op ws.OpCode, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, true, payload)))
}

func (g *guest) write(p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stuck {
		return
	}
	_ = g.nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, _ = g.nc.Write(p)
}

// halve sends half of a frame, and nothing after that.
func (g *guest) halve() {
	whole := masked(ws.OpText, bytes.Repeat([]byte(" "), 100))
	g.write(whole[:len(whole)/2])
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stuck = true
}

// deafen stops reading: what comes stays in the socket.
func (g *guest) deafen() {
	_ = g.nc.SetReadDeadline(time.Unix(1, 0))
	<-g.over
}

// shut sends a closing frame.
func (g *guest) shut(code ws.StatusCode) { g.send(ws.OpClose, ws.NewCloseFrameBody(code, "")) }

// reset ends the socket without a word: the server gets a reset, as from a middlebox that has lost its state.
func (g *guest) reset() {
	if tcp, ok := g.nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = g.nc.Close()
}

// finish waits until the server has recorded the end, and lets go of the socket.
func (g *guest) finish() error {
	err := g.s.book.ended(g.visit)
	_ = g.nc.Close()
	<-g.over
	return err
}

// leave says goodbye.
func (g *guest) leave(park bool) error {
	g.say(&wire.Bye{Park: park})
	return g.finish()
}

// request makes a connection of a request, over plain HTTP, and returns its answer. It ends with ctx at the latest.
func (x *seat) request(ctx context.Context, path, life string, want ending.Class, frames ...wire.ClientFrame) (*visit, *http.Response, error) {
	v, traceparent := x.s.book.begin(life, want)
	var body bytes.Buffer
	for _, f := range frames {
		body.Write(append(wire.AppendClient(nil, f), '\n'))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.s.p.url(path), &body)
	if err != nil {
		return v, nil, err
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Traceparent", traceparent)
	res, err := x.s.aside.Do(req)
	if err == nil && res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return v, res, err
}
