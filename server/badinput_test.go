package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// badFrame is something that a client should not send, and what it is told. Exactly one of code and close is set.
type badFrame struct {
	// raw sends msg as the first message; otherwise it comes after a good hello.
	raw bool
	msg string
	// code is that of the err frame, or of a denied sub, which leaves the connection alive.
	code holdfast.Code
	// close is the code that the connection ends with.
	close holdfast.CloseCode
}

func badFrames(n *node) map[string]badFrame {
	hello := func(change string) string {
		base := `"t":"hello","v":1,"token":"` + n.user("eve") + `","client":"c1","gen":1,"subs":[]`
		return "{" + strings.Replace(base, strings.SplitN(change, ":", 2)[0]+":", "\"was\":0,"+change+",\"old\":", 1) + "}"
	}
	other := n.token(auth.Claims{User: "eve", Read: []string{"*"}, Issuer: "x"})
	expired := n.token(auth.Claims{User: "eve", Expires: time.Now().Add(-time.Hour)})
	backend := n.token(auth.Claims{Backend: true})
	big := strings.Repeat("x", 300<<10)
	return map[string]badFrame{
		"first: not JSON":              {raw: true, msg: "hello", close: holdfast.CloseProtocol},
		"first: empty message":         {raw: true, msg: "", close: holdfast.CloseProtocol},
		"first: an array":              {raw: true, msg: "[]", close: holdfast.CloseProtocol},
		"first: no type":               {raw: true, msg: "{}", close: holdfast.CloseProtocol},
		"first: a sub":                 {raw: true, msg: `{"t":"sub","s":"chat-1"}`, close: holdfast.CloseProtocol},
		"first: a send":                {raw: true, msg: `{"t":"send","s":"chat-1","id":"1","data":1}`, close: holdfast.CloseProtocol},
		"first: a ping":                {raw: true, msg: `{"t":"ping","n":1}`, close: holdfast.CloseProtocol},
		"first: an unknown type":       {raw: true, msg: `{"t":"hologram"}`, close: holdfast.CloseProtocol},
		"hello: no token":              {raw: true, msg: hello(`"token":""`), close: holdfast.CloseUnauthorized},
		"hello: garbage for a token":   {raw: true, msg: hello(`"token":"abc"`), close: holdfast.CloseUnauthorized},
		"hello: forged token":          {raw: true, msg: hello(`"token":"` + forge(other) + `"`), close: holdfast.CloseUnauthorized},
		"hello: expired token":         {raw: true, msg: hello(`"token":"` + expired + `"`), close: holdfast.CloseUnauthorized},
		"hello: token without a user":  {raw: true, msg: hello(`"token":"` + backend + `"`), close: holdfast.CloseUnauthorized},
		"hello: unsigned token":        {raw: true, msg: hello(`"token":"eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ."`), close: holdfast.CloseUnauthorized},
		"hello: another version":       {raw: true, msg: hello(`"v":2`), close: holdfast.CloseVersion},
		"hello: version in words":      {raw: true, msg: hello(`"v":"one"`), close: holdfast.CloseProtocol},
		"hello: no client":             {raw: true, msg: hello(`"client":""`), close: holdfast.CloseProtocol},
		"hello: client with a space":   {raw: true, msg: hello(`"client":"a b"`), close: holdfast.CloseProtocol},
		"hello: client too long":       {raw: true, msg: hello(`"client":"` + strings.Repeat("c", 65) + `"`), close: holdfast.CloseProtocol},
		"hello: negative generation":   {raw: true, msg: hello(`"gen":-1`), close: holdfast.CloseProtocol},
		"hello: subs is no list":       {raw: true, msg: hello(`"subs":{}`), close: holdfast.CloseProtocol},
		"hello: too many sessions":     {raw: true, msg: hello(`"subs":[` + strings.Repeat(`{"s":"chat-1"},`, 256) + `{"s":"chat-1"}]`), close: holdfast.CloseProtocol},
		"hello: over the size limit":   {raw: true, msg: hello(`"token":"` + big + `"`), close: holdfast.CloseTooLarge},
		"hello: an unknown mode":       {raw: true, msg: hello(`"gen":1,"mode":"hologram"`), close: holdfast.CloseProtocol},
		"hello: mode is a number":      {raw: true, msg: hello(`"gen":1,"mode":1`), close: holdfast.CloseProtocol},
		"hello: aside on a socket":     {raw: true, msg: hello(`"gen":1,"mode":"aside"`), close: holdfast.CloseProtocol},
		"hello: hidden in words":       {raw: true, msg: hello(`"gen":1,"hidden":"yes"`), close: holdfast.CloseProtocol},
		"standby: forged token":        {raw: true, msg: hello(`"token":"` + forge(other) + `","mode":"standby"`), close: holdfast.CloseUnauthorized},
		"first: a take":                {raw: true, msg: `{"t":"take","gen":1,"subs":[]}`, close: holdfast.CloseProtocol},
		"first: a view":                {raw: true, msg: `{"t":"view","hidden":true}`, close: holdfast.CloseProtocol},
		"take: without a standby":      {msg: `{"t":"take","gen":2,"subs":[]}`, close: holdfast.CloseProtocol},
		"take: subs is no list":        {msg: `{"t":"take","gen":2,"subs":7}`, close: holdfast.CloseProtocol},
		"take: too many sessions":      {msg: `{"t":"take","gen":2,"subs":[` + strings.Repeat(`{"s":"chat-1"},`, 256) + `{"s":"chat-1"}]}`, close: holdfast.CloseProtocol},
		"view: hidden is a number":     {msg: `{"t":"view","hidden":1}`, close: holdfast.CloseProtocol},
		"bye: park in words":           {msg: `{"t":"bye","park":"yes"}`, close: holdfast.CloseProtocol},
		"hello: twice":                 {msg: hello(`"gen":2`), close: holdfast.CloseProtocol},
		"not JSON":                     {msg: `{"t":`, close: holdfast.CloseProtocol},
		"member twice":                 {msg: `{"t":"ping","n":1,"n":1}`, close: holdfast.CloseProtocol},
		"type is a number":             {msg: `{"t":1}`, close: holdfast.CloseProtocol},
		"deep nesting":                 {msg: strings.Repeat(`{"t":`, 20000), close: holdfast.CloseProtocol},
		"message over the limit":       {msg: `{"t":"send","s":"chat-1","id":"1","data":"` + big + `"}`, close: holdfast.CloseTooLarge},
		"sub: no session":              {msg: `{"t":"sub"}`, code: holdfast.CodeInvalid},
		"sub: bad session":             {msg: `{"t":"sub","s":"a/b"}`, code: holdfast.CodeInvalid},
		"sub: session too long":        {msg: `{"t":"sub","s":"` + strings.Repeat("s", 129) + `"}`, code: holdfast.CodeInvalid},
		"sub: not allowed":             {msg: `{"t":"sub","s":"secret"}`, code: holdfast.CodeForbidden},
		"sub: cursor of a wrong shape": {msg: `{"t":"sub","s":"chat-1","cur":7}`, close: holdfast.CloseProtocol},
		"sub: cursor with 257 runs":    {msg: `{"t":"sub","s":"chat-1","cur":{"e":"a","o":1,"g":1,"r":[` + strings.Repeat(`[1,1,1],`, 256) + `[1,1,1]]}}`, close: holdfast.CloseProtocol},
		"send: no session":             {msg: `{"t":"send","id":"1","data":1}`, code: holdfast.CodeInvalid},
		"send: no id":                  {msg: `{"t":"send","s":"chat-1","data":1}`, code: holdfast.CodeInvalid},
		"send: id too long":            {msg: `{"t":"send","s":"chat-1","id":"` + strings.Repeat("i", 257) + `","data":1}`, code: holdfast.CodeInvalid},
		"send: id with a newline":      {msg: `{"t":"send","s":"chat-1","id":"a\nb","data":1}`, code: holdfast.CodeInvalid},
		"send: no data":                {msg: `{"t":"send","s":"chat-1","id":"1"}`, code: holdfast.CodeInvalid},
		"send: data too large":         {msg: `{"t":"send","s":"chat-1","id":"1","data":"` + strings.Repeat("x", 256<<10) + `"}`, code: holdfast.CodeTooLarge},
		"send: not allowed":            {msg: `{"t":"send","s":"secret","id":"1","data":1}`, code: holdfast.CodeForbidden},
		"signal: no data":              {msg: `{"t":"signal","s":"chat-1"}`, code: holdfast.CodeInvalid},
		"signal: not allowed":          {msg: `{"t":"signal","s":"secret","data":1}`, code: holdfast.CodeForbidden},
		"page: no id":                  {msg: `{"t":"page","s":"chat-1"}`, code: holdfast.CodeInvalid},
		"page: not allowed":            {msg: `{"t":"page","s":"secret","id":"p"}`, code: holdfast.CodeForbidden},
		"page: limit too high":         {msg: `{"t":"page","s":"chat-1","id":"p","limit":201}`, code: holdfast.CodeInvalid},
		"page: negative limit":         {msg: `{"t":"page","s":"chat-1","id":"p","limit":-1}`, code: holdfast.CodeInvalid},
		"page: before and after":       {msg: `{"t":"page","s":"chat-1","id":"p","before":2,"after":1}`, code: holdfast.CodeInvalid},
		"page: before is negative":     {msg: `{"t":"page","s":"chat-1","id":"p","before":-2}`, close: holdfast.CloseProtocol},
		"token: garbage":               {msg: `{"t":"token","token":"abc"}`, code: holdfast.CodeUnauthorized},
		"token: another user's":        {msg: `{"t":"token","token":"` + n.user("mallory") + `"}`, code: holdfast.CodeForbidden},
		"token: expired":               {msg: `{"t":"token","token":"` + expired + `"}`, code: holdfast.CodeUnauthorized},
	}
}

// forge changes the claims of a token and keeps its signature.
func forge(token string) string {
	parts := strings.Split(token, ".")
	flip := []byte(parts[1])
	flip[10] ^= 1
	return parts[0] + "." + string(flip) + "." + parts[2]
}

// Every bad frame gets its documented error, and a session on another connection goes on undisturbed.
func TestBadFrames(t *testing.T) {
	n := start(t, server.Options{})
	bystander := n.hello("ben", "b1", "chat-1")
	sent := 0
	for name, c := range badFrames(n) {
		t.Run(name, func(t *testing.T) {
			var p *peer
			if c.raw {
				p = n.dial()
			} else {
				p = n.hello("eve", fmt.Sprintf("e%d", sent), "chat-1")
			}
			p.t = t
			p.text(c.msg)
			if c.close != 0 {
				wantEnd(t, p, c.close)
			} else {
				wantRefusal(t, p, c.code)
			}
			sent++
			bystander.t = t
			bystander.send(&wire.Send{Session: "chat-1", ID: fmt.Sprintf("ok-%d", sent), Data: []byte(`"fine"`)})
			wantEntry(t, bystander, fmt.Sprintf("ok-%d", sent))
		})
	}
}

// In standby nothing counts but what a standby is for, and the connection that the client has lives on.
func TestBadFramesInStandby(t *testing.T) {
	n := start(t, server.Options{})
	living := n.hello("eve", "e1", "chat-1")
	for name, msg := range map[string]string{
		"a sub":           `{"t":"sub","s":"chat-1"}`,
		"an unsub":        `{"t":"unsub","s":"chat-1"}`,
		"a send":          `{"t":"send","s":"chat-1","id":"1","data":1}`,
		"a signal":        `{"t":"signal","s":"chat-1","data":1}`,
		"a page":          `{"t":"page","s":"chat-1","id":"p"}`,
		"a view":          `{"t":"view","hidden":true}`,
		"a second hello":  string(wire.AppendClient(nil, &wire.Hello{Version: 1, Token: n.user("eve"), Client: "e1", Gen: 9})),
		"a bad take":      `{"t":"take","gen":-1}`,
		"what is no JSON": `take`,
	} {
		t.Run(name, func(t *testing.T) {
			p := n.dial()
			p.t = t
			p.send(&wire.Hello{Version: 1, Token: n.user("eve"), Client: "e1", Gen: 2, Mode: wire.ModeStandby})
			if f, ok := p.next().(*wire.Ready); !ok || f.Beat != 10_000 || f.Rest != 25_000 {
				t.Fatalf("answered %+v", f)
			}
			p.text(msg)
			wantEnd(t, p, holdfast.CloseProtocol)
		})
	}
	stale := n.dial()
	stale.send(&wire.Hello{Version: 1, Token: n.user("eve"), Client: "e1", Gen: 2, Mode: wire.ModeStandby})
	stale.send(&wire.Take{Gen: 1})
	wantEnd(t, stale, holdfast.CloseSuperseded)
	living.send(&wire.Send{Session: "chat-1", ID: "fine", Data: []byte("1")})
	wantEntry(t, living, "fine")
}

// wantEnd reads until the connection ends, with a bye before it unless the carriage itself refused the message.
func wantEnd(t *testing.T, p *peer, want holdfast.CloseCode) {
	t.Helper()
	for {
		f, err := p.read()
		if err != nil {
			if got := websocket.CloseStatus(err); got != websocket.StatusCode(want) {
				t.Errorf("the connection ended with %d (%v), want %d", got, err, want)
			}
			return
		}
		if bye, ok := f.(*wire.Bye); ok && bye.Code != want {
			t.Errorf("bye has code %d, want %d", bye.Code, want)
		}
	}
}

// wantRefusal reads the refusal, and then checks that the connection lives.
func wantRefusal(t *testing.T, p *peer, want holdfast.Code) {
	t.Helper()
	var got holdfast.Code
	var text string
	for got == "" {
		switch f := p.next().(type) {
		case *wire.ErrFrame:
			got, text = f.Code, f.Message
		case *wire.SubAnswer:
			got, text = f.Code, f.Message
		}
	}
	if got != want || text == "" {
		t.Errorf("refused with %q %q, want %q and a text", got, text, want)
	}
	p.send(&wire.Ping{N: 4711})
	for {
		if pong, ok := p.next().(*wire.Pong); ok && pong.N == 4711 {
			return
		}
	}
}

func wantEntry(t *testing.T, p *peer, id string) {
	t.Helper()
	entry, ack := false, false
	for !entry || !ack {
		switch f := p.next().(type) {
		case *wire.EntryFrame:
			entry = entry || f.Entry.ID == id
		case *wire.Ack:
			ack = ack || f.ID == id
		}
	}
}

// A client that floods is told to slow down, and then closed; nobody else notices.
func TestFloodIsRefused(t *testing.T) {
	n := start(t, server.Options{Rate: 1, Burst: 5})
	p := n.hello("eve", "e1", "chat-1")
	for i := range 12 {
		p.send(&wire.Send{Session: "chat-1", ID: fmt.Sprint(i), Data: []byte("1")})
	}
	limited := 0
	for limited == 0 {
		if f, ok := p.next().(*wire.ErrFrame); ok && f.Code == holdfast.CodeRateLimited && f.After > 0 {
			limited++
		}
	}
	for range 100 {
		if p.ws.Write(t.Context(), websocket.MessageText, []byte(`{"t":"pong","n":1}`)) != nil {
			break
		}
	}
	wantEnd(t, p, holdfast.CloseRateLimited)
}
