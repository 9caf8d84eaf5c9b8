package ws

import (
	"context"
	"io"
	"testing"

	"github.com/holdfast/holdfast/transport"
)

// BenchmarkReceive is the cost of taking messages of 100 bytes apart, without the socket.
func BenchmarkReceive(b *testing.B) {
	msg := text(string(make([]byte, 100)))
	var many []byte
	for range 50 {
		many = append(many, msg...)
	}
	r := &reader{limit: 1 << 20, sink: discard{}}
	p := make([]byte, len(many))
	b.SetBytes(int64(len(many)))
	b.ReportAllocs()
	for b.Loop() {
		copy(p, many)
		if err := r.feed(p); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) message([]byte) error { return nil }
func (discard) ping([]byte)          {}
func (discard) bye([]byte)           {}

// BenchmarkTryWrite is one framed message of 256 bytes to a peer that reads.
func BenchmarkTryWrite(b *testing.B) {
	ready := make(chan transport.Conn)
	s := start(b, func(_ context.Context, c transport.Conn) {
		ready <- c
		_ = c.Receive(func([]byte) error { return nil })
	}, Options{})
	c := dial(b, s)
	sc := <-ready
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c.nc}, make([]byte, 64<<10))
	}()
	p := sc.AppendMessage(nil, make([]byte, 256))
	b.ReportAllocs()
	for b.Loop() {
		if err := writeAll(sc, p); err != nil {
			b.Fatal(err)
		}
	}
	sc.Abort()
	<-drained
}

// BenchmarkEcho is one message there and back over loopback.
func BenchmarkEcho(b *testing.B) {
	c := dial(b, start(b, echo, Options{}))
	msg := text(string(make([]byte, 256)))
	back := make([]byte, len(msg)-4)
	b.ReportAllocs()
	for b.Loop() {
		c.send(msg)
		if _, err := io.ReadFull(c.br, back); err != nil {
			b.Fatal(err)
		}
	}
}
