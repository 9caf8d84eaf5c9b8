//go:build unix

package faults

import "syscall"

// Narrow asks for a small window before the socket connects: afterwards what was offered first stays offered, and the
// sender's kernel has made its segments for it.
func Narrow(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, window)
	})
}
