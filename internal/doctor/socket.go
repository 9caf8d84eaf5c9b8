package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport/ws"
	"github.com/holdfast/holdfast/wire"
)

const (
	// earlySize is the largest hello that clients send with the dial, in bytes.
	earlySize = 3000
	// largeSize is near what a server takes from a client by default.
	largeSize = 200 << 10
)

func (e *examination) helloFrame() wire.Hello {
	e.gen++
	return wire.Hello{
		Version: wire.Version, Token: e.o.Token, Client: holdfast.ClientID(e.name), Gen: e.gen, Agent: "holdfast-doctor",
	}
}

func (e *examination) hello() []byte {
	h := e.helloFrame()
	return wire.AppendClient(nil, &h)
}

// dial opens a WebSocket; the greeting goes with the dial.
func (e *examination) dial(ctx context.Context, greeting []byte) (*ws.ClientConn, error) {
	header := http.Header{"User-Agent": {"holdfast-doctor"}}
	if e.o.Origin != "" {
		header.Set("Origin", e.o.Origin)
	}
	return ws.Dial(ctx, e.o.URL+"/v1/ws/1", ws.DialOptions{Header: header, TLS: e.o.TLS, Greeting: greeting})
}

// next reads one frame. The read is cut off when ctx ends.
func next(ctx context.Context, c *ws.ClientConn) (wire.ServerFrame, error) {
	defer context.AfterFunc(ctx, c.Abort)()
	msg, err := c.Read()
	if err != nil {
		return nil, err
	}
	return wire.DecodeServer(msg)
}

func (e *examination) websocket(ctx context.Context) Finding {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	start := time.Now()
	c, err := e.dial(ctx, nil)
	if err != nil {
		return e.notUpgraded(err)
	}
	defer c.Abort()
	if err := c.Write(e.hello()); err != nil {
		return Finding{Level: Fail, What: "the upgrade passed, and the first message did not: " + err.Error(), Do: passUpgrade}
	}
	answer, err := next(ctx, c)
	if err != nil {
		return Finding{Level: Fail, What: "the upgrade passed, and no answer came: " + err.Error(), Do: passUpgrade}
	}
	if bye, ok := answer.(*wire.Bye); ok && (e.o.Token != "" || bye.Code != holdfast.CloseUnauthorized) {
		return refused(bye)
	}
	return Finding{Level: OK, What: fmt.Sprintf("connects in %s", time.Since(start).Round(time.Millisecond))}
}

const passUpgrade = "let the proxy speak HTTP/1.1 to the server and pass Upgrade and Connection"

// notUpgraded says what an answer other than an upgrade means.
func (e *examination) notUpgraded(err error) Finding {
	var status *ws.StatusError
	if !errors.As(err, &status) {
		return Finding{Level: Fail, What: cause(err), Do: passUpgrade}
	}
	switch status.Status {
	case http.StatusForbidden:
		return e.foreign()
	case http.StatusNotFound, http.StatusMovedPermanently, http.StatusFound, http.StatusPermanentRedirect, http.StatusTemporaryRedirect:
		return Finding{Level: Fail, What: status.Error(), Do: "pass /v1/ws/ to the server as it is: without a redirect, a rewrite or a trailing slash"}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return Finding{Level: Warn, What: status.Error() + ": it takes no more connections now", Do: "look at the server's log and limits"}
	}
	return Finding{Level: Fail, What: status.Error() + " instead of opening a WebSocket", Do: passUpgrade}
}

// refused is a goodbye in place of a welcome.
func refused(bye *wire.Bye) Finding {
	do := "see the code in docs/protocol.md"
	if bye.Code == holdfast.CloseUnauthorized {
		do = "give a token of a user, signed with the server's key and not expired"
	}
	return Finding{Level: Fail, What: fmt.Sprintf("the server says goodbye: %s (%d), %s", bye.Code, bye.Code, bye.Reason), Do: do}
}

// early sees whether a large hello passes with the dial itself, as clients send it to save a round trip.
func (e *examination) early(ctx context.Context) Finding {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	hello := e.hello()
	if n := earlySize - len(hello); n > 0 {
		// A member that nobody knows is skipped.
		hello = append(hello[:len(hello)-1], `,"pad":"`+strings.Repeat("x", n)+`"}`...)
	}
	c, err := e.dial(ctx, hello)
	do := "let the proxy pass headers of 8 KiB, Sec-WebSocket-Protocol as it came; until then each connection costs clients one round trip more"
	if err != nil {
		return Finding{Level: Warn, What: fmt.Sprintf("a dial with a header of %d bytes failed: %s", len(hello)*4/3, cause(err)), Do: do}
	}
	defer c.Abort()
	if _, err := next(ctx, c); err != nil {
		return Finding{Level: Warn, What: "it was not heard: " + err.Error(), Do: do}
	}
	return Finding{Level: OK, What: "connecting, signing in and resuming take one round trip"}
}

// signedIn opens a connection that has been welcomed.
func (e *examination) signedIn(ctx context.Context, hello *wire.Hello) (*ws.ClientConn, *wire.Welcome, error) {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	c, err := e.dial(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Write(wire.AppendClient(nil, hello)); err != nil {
		c.Abort()
		return nil, nil, err
	}
	answer, err := next(ctx, c)
	welcome, ok := answer.(*wire.Welcome)
	if err == nil && !ok {
		err = fmt.Errorf("the server answered %T to hello", answer)
	}
	if err != nil {
		c.Abort()
		return nil, nil, err
	}
	return c, welcome, nil
}

// large sends a long message of a type that nobody knows, which is skipped, and sees whether the connection survived it.
func (e *examination) large(ctx context.Context) Finding {
	hello := e.helloFrame()
	c, _, err := e.signedIn(ctx, &hello)
	if err != nil {
		return Finding{Level: Fail, What: cause(err)}
	}
	defer c.Abort()
	ctx, cancel := e.patient(ctx)
	defer cancel()
	err = errors.Join(
		c.Write([]byte(`{"t":"doctor","pad":"`+strings.Repeat("x", largeSize)+`"}`)),
		c.Write(wire.AppendClient(nil, &wire.Ping{N: 1})))
	for err == nil {
		var f wire.ServerFrame
		if f, err = next(ctx, c); err == nil {
			if _, ok := f.(*wire.Pong); ok {
				return Finding{Level: OK, What: fmt.Sprintf("%d KiB pass", largeSize>>10)}
			}
		}
	}
	return Finding{
		Level: Fail, What: fmt.Sprintf("a message of %d KiB broke the connection: %s", largeSize>>10, cause(err)),
		Do: "raise the proxy's limit on messages, or lower the server's --max-data to what passes",
	}
}

// silence leaves a connection alone, as a hidden page does, and sees whether somebody cuts it.
func (e *examination) silence(ctx context.Context) Finding {
	if e.o.Idle < 0 {
		return Finding{Level: Skip, What: "left out as asked"}
	}
	hello := e.helloFrame()
	hello.Hidden = true
	c, welcome, err := e.signedIn(ctx, &hello)
	if err != nil {
		return Finding{Level: Fail, What: cause(err)}
	}
	defer c.Abort()
	ctx, cancel := context.WithTimeout(ctx, e.o.Idle)
	defer cancel()
	heard := time.Now()
	for {
		f, err := next(ctx, c)
		switch {
		case ctx.Err() != nil:
			return Finding{Level: OK, What: fmt.Sprintf("nobody cut it in %s", e.o.Idle)}
		case err != nil:
			return Finding{
				Level: Fail, What: fmt.Sprintf("it was cut after %s without a word: %s", time.Since(heard).Round(time.Second), cause(err)),
				Do: fmt.Sprintf("let the proxy's idle timeout be over %d s (twice the server's --rest); 3600 s costs nothing", 2*welcome.Rest/1000),
			}
		}
		heard = time.Now()
		if ping, ok := f.(*wire.Ping); ok {
			_ = c.Write(wire.AppendClient(nil, &wire.Pong{N: ping.N})) // a failure shows in the next read
		}
	}
}
