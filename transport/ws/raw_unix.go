//go:build unix

package ws

import (
	"net"
	"syscall"
)

// rawConn returns the socket below c, if c is a bare socket, or says that its bytes are a socket's. What else wraps one (TLS) has
// bytes of its own to read and write.
func rawConn(c net.Conn) syscall.RawConn {
	switch c := c.(type) {
	case *net.TCPConn:
		return socketOf(c)
	case *net.UnixConn:
		return socketOf(c)
	case interface{ PlainSocket() *net.TCPConn }:
		return socketOf(c.PlainSocket())
	}
	return nil
}

func socketOf(c syscall.Conn) syscall.RawConn {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readOnce reads what is there without waiting; again means that there is nothing. The socket is non-blocking, as
// package net makes it.
func readOnce(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch err {
		case nil:
			return n, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}

// writeOnce writes what goes without waiting. It tries once: after a short count a second call would only say EAGAIN.
func writeOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
