//go:build !linux

package ws

import (
	"net"
	"time"
)

// setUserTimeout does nothing: only Linux has the option in this form. Heartbeats of the protocol above find dead peers.
func setUserTimeout(*net.TCPConn, time.Duration) {}

// setUnsent does nothing: the option is Linux's.
func setUnsent(*net.TCPConn, int) {}
