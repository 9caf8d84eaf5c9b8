// Package client reads and writes sessions over a connection that it keeps alive: for workers, command lines and tests.
//
// # Usage
//
//	c, err := client.New(client.Options{URL: "wss://chat.example.com", ClientID: "worker-1", Token: token})
//	chat, err := c.Session("chat-1", client.SessionOptions{Last: 20})
//	go c.Run(ctx)
//	ack, err := chat.Send(ctx, json.RawMessage(`{"text":"hello"}`))
//	for range chat.Changed() {
//		show(chat.Entries())
//	}
//
// # What it promises
//
// Whatever happens to the connection, a [Session] holds each entry once, in order; a message that Send has begun is written
// once, at the place that Send returns. The rules are those of package wire, in [State], which is pure.
//
// # Coming back
//
// The life of the connection is a pure machine, the same as the browser client's: both are held to the traces in
// testdata/machine.json. A connection that is silent for 1.2 beats, or on which an acknowledgement is overdue, is asked for
// a sign of life; if that is late, another one is dialed beside it, and takes over unless the first one answers before. A
// client that was cut off comes back at once if the connection had proved itself, otherwise after a random pause that
// grows to 20 s, or when the server said; after some failures it asks GET /v1/ws/ready before it dials. It never gives up
// by itself. A program that knows of a change of the network, or of a sleep, says so with [Client.Wake]; a sleep that shows
// in the wall clock is noticed without it.
//
// # Concurrency
//
// Run is called once and returns when the client has ended for good; all other methods may be called at any time, by
// anyone. Run starts two goroutines for each connection, of which there are two at most for longer than a moment: one dials
// and reads, one writes, so that neither a dead socket nor a slow one keeps the others up. Further ones live while a token
// is fetched, the gate is asked, or a goodbye is written. Run waits for all of them before it returns.
package client
