//go:build !unix

package ws

import (
	"net"
	"syscall"
)

// rawConn returns nil: elsewhere RawConn does not wait for the poller, so that every connection is read and written plainly.
func rawConn(net.Conn) syscall.RawConn { return nil }

func readOnce(uintptr, []byte) (int, bool, error) { return 0, false, syscall.ENOSYS }

func writeOnce(uintptr, []byte) (int, error) { return 0, syscall.ENOSYS }
