package ws

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

const testLimit = 70_000

type protocolCase struct {
	send []byte
	want []string
}

// The cases follow the order of the Autobahn test suite; its numbers stand where a case has one there.
func protocolCases() map[string]protocolCase {
	cases := map[string]protocolCase{}
	for _, part := range []map[string]protocolCase{framing(), controls(), reserved(), fragments(), limits()} {
		for name, c := range part {
			cases[name] = c
		}
	}
	return cases
}

func framing() map[string]protocolCase {
	cases := map[string]protocolCase{
		"1.1.1 empty text":        {text(""), []string{"text "}},
		"binary is refused":       {frame(ws.OpBinary, true, "x"), []string{"close 1003*"}},
		"empty binary is refused": {frame(ws.OpBinary, true, ""), []string{"close 1003*"}},
		"binary in fragments is refused": {join(frame(ws.OpBinary, false, "x"), frame(ws.OpContinuation, true, "y")),
			[]string{"close 1003*"}},
		"unmasked text":               {appendFrame(nil, ws.OpText, []byte("x")), []string{"close 1002*"}},
		"unmasked ping":               {appendFrame(nil, ws.OpPing, nil), []string{"close 1002*"}},
		"mask of zeroes":              {ws.MustCompileFrame(ws.MaskFrameWith(ws.NewTextFrame([]byte("hi")), [4]byte{})), []string{"text hi"}},
		"two at once":                 {join(text("a"), text("b")), []string{"text a", "text b"}},
		"length not minimal":          {[]byte{0x81, 0x80 | 126, 0, 1, 0, 0, 0, 0, 'a'}, []string{"text a"}},
		"length with the highest bit": {[]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, []string{"close 1002*"}},
	}
	for _, n := range []int{125, 126, 127, 128, 65535, 65536, testLimit} {
		s := strings.Repeat("*", n)
		cases["1.1 text of "+strconv.Itoa(n)] = protocolCase{text(s), []string{"text " + s}}
	}
	return cases
}

func controls() map[string]protocolCase {
	long := strings.Repeat("p", 125)
	return map[string]protocolCase{
		"2.1 ping without payload":    {join(frame(ws.OpPing, true, ""), text("x")), []string{"pong ", "text x"}},
		"2.2 ping":                    {join(frame(ws.OpPing, true, "hello"), text("x")), []string{"pong hello", "text x"}},
		"2.3 ping with binary":        {frame(ws.OpPing, true, "\x00\xff\xfe"), []string{"pong \x00\xff\xfe"}},
		"2.4 ping of 125":             {frame(ws.OpPing, true, long), []string{"pong " + long}},
		"2.5 ping of 126":             {frame(ws.OpPing, true, long+"p"), []string{"close 1002*"}},
		"2.7 pong unasked":            {join(frame(ws.OpPong, true, ""), text("x")), []string{"text x"}},
		"2.8 pong with payload":       {join(frame(ws.OpPong, true, "p"), text("x")), []string{"text x"}},
		"pong of 126":                 {frame(ws.OpPong, true, long+"p"), []string{"close 1002*"}},
		"close of 126":                {frame(ws.OpClose, true, "\x03\xe8"+long), []string{"close 1002*"}},
		"5.1 ping in fragments":       {frame(ws.OpPing, false, "p"), []string{"close 1002*"}},
		"5.2 pong in fragments":       {frame(ws.OpPong, false, "p"), []string{"close 1002*"}},
		"close in fragments":          {frame(ws.OpClose, false, ""), []string{"close 1002*"}},
		"nothing after close is read": {join(closing(1000, ""), text("x"), frame(ws.OpPing, true, "")), []string{"close 1000", "eof"}},
	}
}

func reserved() map[string]protocolCase {
	cases := map[string]protocolCase{}
	for rsv := byte(1); rsv < 8; rsv++ {
		f := text("x")
		f[0] |= rsv << 4
		cases["3 reserved bits "+strconv.Itoa(int(rsv))] = protocolCase{f, []string{"close 1002*"}}
		f = frame(ws.OpPing, true, "x")
		f[0] |= rsv << 4
		cases["3 reserved bits of a ping "+strconv.Itoa(int(rsv))] = protocolCase{join(text("a"), f), []string{"text a", "close 1002*"}}
	}
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		cases["4 opcode "+strconv.Itoa(int(op))] = protocolCase{join(text("a"), frame(op, true, ""), text("b")),
			[]string{"text a", "close 1002*"}}
	}
	return cases
}

func fragments() map[string]protocolCase {
	first := func(s string) []byte { return frame(ws.OpText, false, s) }
	more := func(s string) []byte { return frame(ws.OpContinuation, false, s) }
	last := func(s string) []byte { return frame(ws.OpContinuation, true, s) }
	ping := frame(ws.OpPing, true, "p")
	return map[string]protocolCase{
		"5.3 two fragments":               {join(first("a"), last("b")), []string{"text ab"}},
		"5.6 ping in between":             {join(first("a"), ping, last("b")), []string{"pong p", "text ab"}},
		"5.9 continuation of nothing":     {join(last("a"), text("b")), []string{"close 1002*"}},
		"5.10 continuation after a text":  {join(text("a"), last("b")), []string{"text a", "close 1002*"}},
		"5.12 unfinished continuation":    {join(more("a"), text("b")), []string{"close 1002*"}},
		"5.15 continued twice":            {join(first("a"), last("b"), more("c"), text("d")), []string{"text ab", "close 1002*"}},
		"5.18 text inside a text":         {join(first("a"), text("b")), []string{"close 1002*"}},
		"5.19 pings in between":           {join(first("a"), more("b"), ping, more("c"), ping, last("d")), []string{"pong p", "pong p", "text abcd"}},
		"6.1.2 three empty fragments":     {join(first(""), more(""), last("")), []string{"text "}},
		"6.1.3 content in the middle":     {join(first(""), more("x"), last("")), []string{"text x"}},
		"refusal before the peer's close": {join(text("\xff"), closing(1000, "")), []string{"close 1007*", "eof"}},
		"close in between":                {join(first("a"), closing(1000, "")), []string{"close 1000", "eof"}},
		"message after fragments":         {join(first("a"), last("b"), text("c")), []string{"text ab", "text c"}},
	}
}

func limits() map[string]protocolCase {
	part := strings.Repeat("x", testLimit/2)
	claim := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<62)
	return map[string]protocolCase{
		"one over the limit":                        {text(part + part + "y"), []string{"close 4503*"}},
		"claim of 4 EiB":                            {append(claim, 1, 2, 3, 4), []string{"close 4503*"}},
		"claim over the limit without a byte of it": {text(part + part + "y")[:14], []string{"close 4503*"}},
		"fragments at the limit": {join(frame(ws.OpText, false, part), frame(ws.OpContinuation, true, part)),
			[]string{"text " + part + part}},
		"fragments over the limit": {join(frame(ws.OpText, false, part), frame(ws.OpContinuation, false, part),
			frame(ws.OpContinuation, true, "y")), []string{"close 4503*"}},
		"limit counts afresh": {join(text(part+part), text(part+part)), []string{"text " + part + part, "text " + part + part}},
	}
}

// TestProtocol sends each case over a socket. TestReaderPieces cuts the same ones in pieces.
func TestProtocol(t *testing.T) {
	s := start(t, echo, Options{MaxMessage: testLimit})
	for name, tc := range protocolCases() {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			c.send(tc.send)
			c.expect(tc.want...)
			finishCase(c, tc)
		})
	}
}

func finishCase(c *client, tc protocolCase) {
	c.t.Helper()
	end := tc.want[len(tc.want)-1]
	switch {
	case end == "eof":
		return
	case !strings.HasPrefix(end, "close"):
		c.send(closing(1000, ""))
		c.expect("close 1000")
	default:
		c.send(closing(1000, ""))
		// With lost framing the answer is not seen: the server waits for the end of the stream.
		_ = c.nc.(interface{ CloseWrite() error }).CloseWrite()
	}
	c.expect("eof")
}

func TestUTF8(t *testing.T) {
	valid := map[string]string{
		"two bytes": "\u00b5", "three bytes": "\u20ac", "four bytes": "\U0001f600", "last code point": "\U0010ffff",
		"word": "κόσμε", "noncharacter": "\ufffe", "zero": "\x00", "around the surrogates": "\ud7ff\ue000",
		"long": strings.Repeat("κόσμε", 1000),
	}
	invalid := map[string]string{
		"surrogate": "\xed\xa0\x80", "overlong slash": "\xc0\xaf", "overlong of three": "\xe0\x80\xaf", "five bytes": "\xf8\x88\x80\x80\x80",
		"beyond Unicode": "\xf4\x90\x80\x80", "lone continuation": "\x80", "cut short": "κόσμε\xe2\x82", "ff": "a\xffb",
		"cut then ascii": "\xf0\x9f\x98x",
	}
	s := start(t, echo, Options{})
	for name, msg := range valid {
		t.Run("valid "+name, func(t *testing.T) { testUTF8(t, dial(t, s), msg, "text "+msg) })
	}
	for name, msg := range invalid {
		t.Run("invalid "+name, func(t *testing.T) {
			for cut := range len(msg) + 1 {
				c := dial(t, s)
				c.send(join(frame(ws.OpText, false, msg[:cut]), frame(ws.OpContinuation, true, msg[cut:])))
				c.expect("close 1007*")
			}
			c := dial(t, s)
			c.send(text(msg))
			c.expect("close 1007*")
		})
	}
}

// testUTF8 splits the message at every byte, into two fragments and into single bytes.
func testUTF8(t *testing.T, c *client, msg, want string) {
	for cut := 0; cut <= len(msg) && cut < 40; cut++ {
		c.send(join(frame(ws.OpText, false, msg[:cut]), frame(ws.OpContinuation, true, msg[cut:])))
		c.expect(want)
	}
	all := frame(ws.OpText, false, "")
	for i := range len(msg) {
		all = append(all, frame(ws.OpContinuation, false, msg[i:i+1])...)
	}
	c.send(append(all, frame(ws.OpContinuation, true, "")...))
	c.expect(want)
}

// TestUTF8FailsFast: a message that cannot become valid any more is refused before its end (Autobahn 6.4).
func TestUTF8FailsFast(t *testing.T) {
	s := start(t, echo, Options{})
	for name, send := range map[string][]byte{
		"after a fragment":     frame(ws.OpText, false, "κόσμε\xf4\x90\x80\x80"),
		"in a frame's middle":  text("κόσμε\xf4\x90 and much more")[:20],
		"hopeless first bytes": frame(ws.OpText, false, "\xe0\x80"),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			c.send(send)
			c.expect("close 1007*")
		})
	}
}

func TestPeerCloses(t *testing.T) {
	long := strings.Repeat("r", 123)
	type closeCase struct {
		send []byte
		want string
	}
	cases := map[string]closeCase{
		"7.3.1 empty":            {frame(ws.OpClose, true, ""), "close"},
		"7.3.2 half a code":      {frame(ws.OpClose, true, "\x03"), "close 1002*"},
		"7.3.4 with reason":      {closing(1000, "bye"), "close 1000"},
		"7.3.5 longest reason":   {closing(1000, long), "close 1000"},
		"7.5.1 reason not UTF-8": {frame(ws.OpClose, true, "\x03\xe8\xce\xba\xed\xa0\x80"), "close 1007*"},
		"reason cut in a rune":   {frame(ws.OpClose, true, "\x03\xe8\xe2\x82"), "close 1007*"},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases["7.7 valid "+strconv.Itoa(code)] = closeCase{closing(code, ""), "close " + strconv.Itoa(code)}
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases["7.9 invalid "+strconv.Itoa(code)] = closeCase{closing(code, ""), "close 1002*"}
	}
	serve, conns := hold(t, ignore)
	s := start(t, serve, Options{})
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			sc := within(t, "the connection", conns)
			c.send(tc.send)
			c.expect(tc.want)
			err := within(t, "Receive", sc.received)
			if orderly := !strings.HasSuffix(tc.want, "*"); orderly != (err == nil) {
				t.Fatalf("Receive returned %v after %q", err, tc.want)
			}
			close(sc.leave)
			c.expect("eof")
		})
	}
}
