package conn

import (
	"errors"
	"os"
	"syscall"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/transport"
)

// record is the one record that a connection leaves. It is made last of all, on the reading side.
func (c *Conn) record(end *goodbye, err error) *ending.Record {
	info := c.t.Info()
	r := &ending.Record{
		Conn: c.id, Generation: c.gen, Attached: c.stands() == attached, Transport: info.Transport,
		Remote: info.Remote.String(), Trace: info.Trace, Age: c.cfg.now().Sub(c.started),
		In: c.bytesIn.Load(), Out: c.bytesOut.Load(),
	}
	if g := c.grant.Load(); g != nil {
		r.User, r.Client, r.Agent = g.User, c.client, c.agent
	}
	r.End, r.Reason = c.ended(end, err)
	for _, s := range c.subs {
		r.Positions = append(r.Positions, ending.Position{Session: s.session, Offset: holdfast.Offset(s.at.Load())})
	}
	return r
}

// ended says by whom it ended: what was said comes before what the socket had to say of it.
func (c *Conn) ended(end *goodbye, err error) (ending.End, string) {
	if end != nil {
		return ending.End{By: end.by, Code: end.code, TimedOut: end.late}, end.reason
	}
	switch holdfast.CodeOf(err) {
	case "":
		return c.left(), "the client closed"
	case holdfast.CodeInvalid:
		return ending.End{By: ending.ByServer, Code: ending.CodeProtocol}, holdfast.MessageOf(err)
	case holdfast.CodeTooLarge:
		return ending.End{By: ending.ByServer, Code: holdfast.CloseTooLarge}, holdfast.MessageOf(err)
	}
	// By the keepalive of the socket, or by bytes that were never acknowledged.
	late := errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, os.ErrDeadlineExceeded)
	return ending.End{By: ending.ByNetwork, Code: ending.CodeAbnormal, TimedOut: late}, err.Error()
}

// left is the end of a connection that its client closed in order.
func (c *Conn) left() ending.End {
	if p, ok := c.t.(transport.PeerCloser); ok {
		if code, said := p.PeerClose(); said {
			return ending.End{By: ending.ByClient, Code: code}
		}
	}
	return ending.End{By: ending.ByClient, Code: holdfast.CloseNormal}
}
