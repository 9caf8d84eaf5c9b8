// Package fallback carries connections over plain HTTP requests, for networks that let no WebSocket through.
//
// # Usage
//
//	h := fallback.NewHandler(serve, fallback.Options{Origins: allowed})
//	mux.Handle("/v1/ws/{n}/events", h)
//	mux.Handle("/v1/ws/{n}/poll", h)
//	mux.Handle("/v1/ws/send", h)
//	...
//	h.Shutdown(ctx) // before http.Server.Shutdown, which waits for these requests
//
// # Three carriages
//
// The last element of the path says which. All are POST; the body is what the peer has to say, and is read whole before
// the connection begins.
//
//	events  the body is one message. The answer is a text/event-stream that lives as long as the connection does.
//	poll    the body is one message. The answer is lines (NDJSON), and complete when [Options.Turn] says so.
//	send    the body is lines, a message each. The answer is lines too, and ends when serve returns.
//
// A message that holds a line feed, which no message of JSON needs, has a space in its place: else it would be two.
//
// # Slow peers
//
// There is no socket to try: TryWrite always reports a full one, and Write waits, flushes, and fails at its deadline. A body
// must have come within [Options.BodyTimeout]. Nothing is buffered but what net/http has, a few KiB.
//
// # Ends
//
// No close code travels, only the end of the answer; what the peer must know has to be said by a message before it. An
// answer that breaks off (an abort) is one that HTTP itself knows to be incomplete, and it does so when serve returns. A
// connection that is closed before anything was written is answered 503.
//
// # Concurrency
//
// serve runs on the request's goroutine. The handler returns when serve has and nobody writes any more: a
// ResponseWriter must not be touched after that.
package fallback
