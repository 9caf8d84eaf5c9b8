package conn

import (
	"time"

	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
)

// standing is what a connection is to the server. It moves on, and never back:
//
//	stranger -- hello ------------> attached
//	stranger -- hello, standby ---> standby -- take --> attached
//	stranger -- hello, aside -----> aside
type standing uint32

const (
	// stranger: nothing is known of it but its address.
	stranger standing = iota
	// standby: its client is verified, and may take it in place of the connection that it has. Nobody else knows of it.
	standby
	// attached: it is the living connection of its client.
	attached
	// aside: its client is verified for the frames of one request. It is nobody's connection.
	aside
)

// standings is a set of them.
type standings uint8

func in(all ...standing) standings {
	var set standings
	for _, s := range all {
		set |= 1 << s
	}
	return set
}

func (set standings) has(s standing) bool { return set&(1<<s) != 0 }

// admitted is the table of which frames may come when. Anything else breaks the protocol, and ends the connection.
//
//	                    stranger  standby  attached  aside
//	hello                  x
//	take                              x
//	token                             x        x       x
//	bye, unknown                      x        x       x
//	ping, pong                        x        x
//	page, send, stop, answer, queue, signal    x       x
//	sub, unsub, view                           x
func admitted(f wire.ClientFrame) standings {
	switch f.(type) {
	case *wire.Hello:
		return in(stranger)
	case *wire.Take:
		return in(standby)
	case *wire.TokenRefresh, *wire.Bye, *wire.Unknown:
		return in(standby, attached, aside)
	case *wire.Ping, *wire.Pong:
		return in(standby, attached)
	case *wire.PageRequest, *wire.Send, *wire.Stop, *wire.Answer, *wire.Queue, *wire.Signal:
		return in(attached, aside)
	case *wire.Sub, *wire.Unsub, *wire.View:
		return in(attached)
	}
	return 0
}

// outOfPlace says, to whoever writes the client, what is wrong with a frame that may not come now.
func outOfPlace(f wire.ClientFrame, now standing) string {
	switch {
	case now == stranger:
		return "the first frame must be hello"
	case isHello(f):
		return "hello comes once"
	case now == standby:
		return "a connection in standby takes only take, token, ping, pong and bye"
	case now == aside:
		return "a request aside takes only send, stop, answer, queue, signal, page, token and bye"
	}
	return "take comes once, after a hello of mode standby"
}

func isHello(f wire.ClientFrame) bool { _, ok := f.(*wire.Hello); return ok }

// checkMode says what is wrong with the mode of a hello on a connection of this reach, or "".
func checkMode(h *wire.Hello, reach transport.Reach) string {
	switch {
	case h.Mode != wire.ModeAttach && h.Mode != wire.ModeStandby && h.Mode != wire.ModeAside:
		return "the mode of hello is none that this server knows"
	case reach == transport.Once && h.Mode != wire.ModeAside:
		return "a hello in a request of frames must be of mode aside"
	case reach != transport.Once && h.Mode == wire.ModeAside:
		return "a hello of mode aside comes only in a request of frames"
	case reach == transport.Down && h.Mode == wire.ModeStandby:
		return "a connection that cannot be answered has no standby: a take could never come"
	case h.Mode == wire.ModeAside && len(h.Subs) > 0:
		return "a hello of mode aside has no subs"
	}
	return ""
}

func (c *Conn) stand(s standing) {
	c.since.Store(int64(c.cfg.now().Sub(c.started)))
	c.standing.Store(uint32(s))
}

func (c *Conn) stands() standing { return standing(c.standing.Load()) }

// beat returns how long either side may be silent now.
func (c *Conn) beat() time.Duration {
	if c.hidden.Load() {
		return c.cfg.Rest
	}
	return c.cfg.Beat
}

// earliness is what early is a part of.
const earliness = 1 << 10

// hurry is by how much a connection pings before its beat is over.
func (c *Conn) hurry(beat time.Duration) time.Duration {
	return beat / 4 / earliness * time.Duration(c.early)
}
