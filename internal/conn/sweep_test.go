package conn

import (
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// BenchmarkSweep is what the clock costs a lane with 10,000 connections, each second. With pings, as many are due as in a
// second of a beat of 10 s.
func BenchmarkSweep(b *testing.B) {
	for name, every := range map[string]int{"quiet": 0, "pings": 10} {
		b.Run(name, func(b *testing.B) {
			lane := NewLane(0)
			now := time.Now()
			cfg := &Config{Beat: 10 * time.Second, Rest: 25 * time.Second, HelloTimeout: time.Minute, Now: func() time.Time { return now }}
			for i := range 10_000 {
				c := &Conn{t: &taker{}, lane: lane, cfg: cfg, started: now, reach: transport.Both}
				c.grant.Store(&holdfast.Grant{User: "anna", Expires: now.Add(time.Hour)})
				c.stand(attached)
				if every > 0 && i%every == 0 {
					c.lastOut.Store(int64(-time.Hour))
				}
				lane.add(c)
			}
			for b.Loop() {
				lane.sweep()
				for lane.round(b.Context()) {
				}
				if every == 0 {
					continue
				}
				b.StopTimer()
				for i, c := range lane.conns {
					if i%every == 0 {
						c.lastOut.Store(int64(-time.Hour))
					}
				}
				b.StartTimer()
			}
		})
	}
}

// taker is a socket that takes everything.
type taker struct{ transport.Conn }

func (*taker) AppendMessage(dst, msg []byte) []byte { return append(dst, msg...) }
func (*taker) TryWrite(p []byte) (int, error)       { return len(p), nil }
