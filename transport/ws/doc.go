// Package ws carries connections over WebSocket (RFC 6455).
//
// # Usage
//
// [NewHandler] makes an http.Handler that accepts upgrades and calls a [transport.Serve] with each connection:
//
//	h := ws.NewHandler(serve, ws.Options{Origins: []string{"https://*.example.com"}})
//	mux.Handle("/v1/ws/", h)
//	...
//	h.Shutdown(ctx) // beside http.Server.Shutdown, which knows nothing of upgraded connections
//
// # Memory
//
// The handler returns as soon as the connection is upgraded, and with it goes what net/http kept for the request. What
// is left is one goroutine that waits for the socket to become readable and takes a pooled buffer only then. If serve
// detaches the connection, that goroutine has done nothing else, so that its stack is as small as they come, 2 KiB: one that
// has handled something leaves the waiting to the next, and ends. So an idle connection costs that stack, its socket and a
// few hundred bytes. This needs the socket itself: a connection inside TLS, or on a system that is not Unix, keeps a read
// buffer of 512 bytes (and TLS itself keeps far more: terminate it at a proxy when there are many). A message that has
// arrived in part is kept, at most [Options.MaxMessage] bytes, and grows as bytes arrive, not as a header claims.
//
// # Concurrency
//
// One goroutine at a time calls TryWrite or Write, as package transport says. Pongs and closing frames come from others, and must
// not land inside a message that went out in part: they are left as notes, which whoever has the right to write takes along
// at the next boundary of messages. Where TryWrite cannot be (TLS), it always reports a full socket.
//
// Close and Abort never wait. The closing handshake is finished by the connection's own goroutine when serve has
// returned, and is cut off after [Options.CloseTimeout] in any case.
//
// A panic in serve is not recovered here: that would hide locks that are held for ever.
//
// # Close codes
//
// A peer that breaks RFC 6455 gets the code the RFC names: 1002, 1003 or 1007. A message over the limit gets
// [holdfast.CloseTooLarge] instead of 1009, since a client that comes back and sends the same again is of no use.
package ws
