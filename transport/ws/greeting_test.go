package ws

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/holdfast/holdfast/transport"
)

// dialGreeting upgrades a connection whose first message is in the request; behind goes out together with it.
func dialGreeting(t *testing.T, serve transport.Serve, first string, behind ...byte) *client {
	t.Helper()
	s := start(t, serve, Options{})
	nc := dialRaw(t, s)
	c := &client{t: t, nc: nc, br: bufio.NewReader(nc)}
	header := "Sec-WebSocket-Protocol: holdfast.v1, hello." + base64.RawURLEncoding.EncodeToString([]byte(first)) + "\r\n"
	c.send(append(fmt.Appendf(nil, upgrade, s.Listener.Addr(), header), behind...))
	var err error
	if c.reply, err = http.ReadResponse(c.br, nil); err != nil {
		t.Fatal(err)
	}
	if got := c.reply.Header.Get("Sec-WebSocket-Protocol"); c.reply.StatusCode != http.StatusSwitchingProtocols || got != Subprotocol {
		t.Fatalf("status %s, subprotocol %q", c.reply.Status, got)
	}
	return c
}

// answering answers each message with itself, until the message "enough", on which it fails.
type answering struct{ transport.Conn }

var errEnough = errors.New("enough")

func (a answering) Message(_ context.Context, msg []byte) error {
	if string(msg) == "enough" {
		return errEnough
	}
	return writeAll(a, a.AppendMessage(nil, msg))
}

func (a answering) Ended(err error) {
	if errors.Is(err, errEnough) {
		a.Close(1000, "as you say")
	}
}

// TestGreeting: a message that comes with the request is the first, before those that come right behind it.
func TestGreeting(t *testing.T) {
	for name, serve := range map[string]transport.Serve{
		"received": echo,
		"detached": func(_ context.Context, c transport.Conn) { c.(transport.Detacher).Detach(answering{c}) },
	} {
		t.Run(name, func(t *testing.T) {
			dialGreeting(t, serve, "näme").expect("text näme")
			c := dialGreeting(t, serve, "one", join(text("two"), text("three"))...)
			c.expect("text one", "text two", "text three")
			c.send(text("four"))
			c.expect("text four")
		})
	}
}

// TestGreetingRefused: what the first message leads to ends the connection as that of any other would.
func TestGreetingRefused(t *testing.T) {
	serve := func(_ context.Context, c transport.Conn) { c.(transport.Detacher).Detach(answering{c}) }
	dialGreeting(t, serve, "enough").expect("close 1000 as you say")
}
