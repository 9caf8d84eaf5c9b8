package ws

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// TestSecondOpinion talks to a client that others wrote.
func TestSecondOpinion(t *testing.T) {
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, NewHandler(echo, Options{MaxMessage: 4 << 20}), secure)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, r, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{
				HTTPClient: s.Client(), Subprotocols: []string{Subprotocol}, CompressionMode: websocket.CompressionContextTakeover,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if c.Subprotocol() != Subprotocol || r.Header.Get("Sec-WebSocket-Extensions") != "" {
				t.Errorf("subprotocol %q, extensions %q", c.Subprotocol(), r.Header.Get("Sec-WebSocket-Extensions"))
			}
			c.SetReadLimit(-1)
			secondRoundTrips(ctx, t, c)
			if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
				t.Errorf("closing handshake: %v", err)
			}
		})
	}
}

// secondRoundTrips sends messages of all sizes in fragments of many bytes, with a ping now and then.
func secondRoundTrips(ctx context.Context, t *testing.T, c *websocket.Conn) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20, 4 << 20} {
		msg := strings.Repeat("κόσμε ", size/12) + strings.Repeat("x", size%12)
		go func() {
			w, err := c.Writer(ctx, websocket.MessageText)
			if err != nil {
				t.Error(err)
				return
			}
			for rest := msg; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(100_000))
				if _, err := io.WriteString(w, rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		typ, got, err := c.Read(ctx)
		if err != nil || typ != websocket.MessageText || string(got) != msg {
			t.Fatalf("size %d: got %v of %d bytes, error %v", size, typ, len(got), err)
		}
	}
	pinged := make(chan error, 1)
	go func() { pinged <- c.Ping(ctx) }()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	closed := c.CloseRead(reading)
	select {
	case err := <-pinged:
		if err != nil {
			t.Errorf("ping: %v", err)
		}
	case <-closed.Done():
		t.Error("the connection ended during a ping")
	}
}

// TestSecondOpinionOnClose: a foreign client reads our code and reason, whatever ends the connection.
func TestSecondOpinionOnClose(t *testing.T) {
	for name, tc := range map[string]struct {
		serve  transport.Serve
		send   []byte
		code   websocket.StatusCode
		reason string
	}{
		"closed by serve": {func(_ context.Context, c transport.Conn) { c.Close(holdfast.CloseRestart, `{"after":0}`) }, nil, 1012, `{"after":0}`},
		"serve returns":   {func(context.Context, transport.Conn) {}, nil, 4403, "the server ended the connection and gave no reason"},
		"too large":       {echo, make([]byte, 3000), 4503, "the message is longer than the limit"},
		"not UTF-8":       {echo, []byte{0xff}, 1007, "the message is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, tc.serve, Options{MaxMessage: 2000})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, _, err := websocket.Dial(ctx, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if tc.send != nil {
				if err := c.Write(ctx, websocket.MessageText, tc.send); err != nil {
					t.Fatal(err)
				}
			}
			begun := time.Now()
			_, _, err = c.Read(ctx)
			var end websocket.CloseError
			if !errors.As(err, &end) || end.Code != tc.code || end.Reason != tc.reason {
				t.Fatalf("the client saw %v, want %d %q", err, tc.code, tc.reason)
			}
			if d := time.Since(begun); d > patience/2 {
				t.Errorf("it took %v", d)
			}
		})
	}
}
