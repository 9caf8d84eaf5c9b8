package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// What a server says it takes, it takes.
func TestLargerDataIsTaken(t *testing.T) {
	const limit = 400 << 10
	n := start(t, server.Options{MaxData: limit})
	p := n.hello("anna", "c1", "chat-1")
	data := json.RawMessage(`"` + strings.Repeat("x", limit-2) + `"`)
	p.send(&wire.Send{Session: "chat-1", ID: "m1", Data: data})
	for {
		switch f := p.next().(type) {
		case *wire.Ack:
			return
		case *wire.ErrFrame:
			t.Fatalf("%d bytes are refused: %s", limit, f.Message)
		}
	}
}

// A limit on the data of messages does not keep a client from naming all the sessions that it reads.
func TestHelloFitsWhateverTheDataLimit(t *testing.T) {
	n := start(t, server.Options{MaxData: 1000})
	hello := &wire.Hello{Version: 1, Token: n.user("anna"), Client: "c1", Gen: 1}
	for i := range 100 {
		c := holdfast.Cursor{Position: holdfast.Position{Epoch: "abcdefghij", Offset: 1 << 40, Tag: 1 << 31}}
		for run := range 5 {
			c = c.With(holdfast.RunCursor{Run: holdfast.Offset(1<<40 - run), Fragment: 1 << 20, Tag: 1 << 31})
		}
		hello.Subs = append(hello.Subs, wire.Sub{Session: holdfast.SessionID(fmt.Sprintf("chat-%0100d", i)), Cursor: &c})
	}
	p := n.dial()
	p.send(hello)
	if f, err := p.read(); err != nil {
		t.Fatal(err)
	} else if _, ok := f.(*wire.Welcome); !ok {
		t.Errorf("answered %T", f)
	}
}

// The protocol has a largest message, which clients hold the server to.
func TestDataLimitHasALimit(t *testing.T) {
	_, err := server.New(server.Options{Auth: nobody{}, MaxData: wire.MaxMessage})
	if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(holdfast.MessageOf(err), "MaxData") {
		t.Errorf("got %v", err)
	}
}
