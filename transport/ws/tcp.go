package ws

import (
	"net"
	"time"
)

// How soon the kernel finds out that a peer is gone without a word: about 35 s. userTimeout must be more than the keepalive takes
// to fail, idle + count × interval: Linux gives a connection up by it after one lost probe.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
	userTimeout       = 35 * time.Second
)

// unsent is how many bytes may wait in the kernel of one socket before it counts as full: half a chunk of the writer's.
const unsent = 4 << 10

// Tune sets the options of a connection's socket by which its peer's silent end is noticed, for connections that are not
// upgraded but live as long.
func Tune(nc net.Conn) { tune(nc) }

// tune sets the options of the socket below nc, if it is one of TCP. What a system refuses it does without.
func tune(nc net.Conn) {
	tcp, ok := bare(nc).(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true)
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
	})
	setUserTimeout(tcp, userTimeout)
	setUnsent(tcp, unsent)
}
