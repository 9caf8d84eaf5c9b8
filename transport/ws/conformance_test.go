package ws

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/transporttest"
)

// suitePeer is a client that keeps the rules.
type suitePeer struct {
	*client
	// said: the peer's closing frame is out.
	said bool
}

func (p *suitePeer) Send(msg []byte) error {
	_, err := p.nc.Write(frame(ws.OpText, true, string(msg)))
	return err
}

func (p *suitePeer) Next() ([]byte, error) {
	f, err := readFrame(p.br)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the connection broke off: %w", err)
	case f.Header.OpCode == ws.OpText:
		return f.Payload, nil
	case f.Header.OpCode != ws.OpClose:
		return nil, fmt.Errorf("unexpected opcode %v", f.Header.OpCode)
	}
	code, reason := ws.ParseCloseFrameData(f.Payload)
	_ = p.Close(holdfast.CloseCode(code))
	// The server closes the socket first (RFC 6455 §7.1.1), and without a reset.
	if n, err := io.Copy(io.Discard, p.br); err != nil || n > 0 {
		return nil, fmt.Errorf("after the closing frame came %d bytes, error %v", n, err)
	}
	return nil, &transporttest.Closed{Code: holdfast.CloseCode(code), Reason: reason}
}

func (p *suitePeer) Close(code holdfast.CloseCode) error {
	if p.said {
		return nil
	}
	p.said = true
	_, err := p.nc.Write(closing(int(code), ""))
	return err
}

func (p *suitePeer) Abort() { _ = p.nc.Close() }

func TestConformance(t *testing.T) {
	t.Run("TCP", func(t *testing.T) { conformance(t, false, false) })
	t.Run("TLS", func(t *testing.T) { conformance(t, true, false) })
	t.Run("DetachedTCP", func(t *testing.T) { conformance(t, false, true) })
	t.Run("DetachedTLS", func(t *testing.T) { conformance(t, true, true) })
}

func conformance(t *testing.T, secure, detach bool) {
	const limit = 100_000
	transporttest.Run(t, transporttest.Transport{
		Name: "websocket", MaxMessage: limit, Plain: secure, Detach: detach,
		Dial: func(t testing.TB, serve transport.Serve) transporttest.Peer {
			s := startServer(t, NewHandler(serve, Options{MaxMessage: limit}), secure)
			c := dial(t, s)
			if tcp, ok := bare(c.nc).(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(32 << 10)
			}
			_ = c.nc.SetDeadline(time.Now().Add(patience))
			return &suitePeer{client: c}
		},
	})
}
