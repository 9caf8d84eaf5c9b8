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
// # Concurrency
//
// Run is called once and returns when the client has ended for good; all other methods may be called at any time, by
// anyone. Run starts one goroutine for each connection, which reads, and one while a token is being fetched. It waits for
// both before it returns.
package client
