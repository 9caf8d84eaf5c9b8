package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

// A program serves Holdfast among its own routes, and writes an answer into a session.
func Example() {
	key, err := server.SecretKey("", []byte("a secret of at least thirty-two bytes"))
	if err != nil {
		panic(err)
	}
	jwt, err := server.NewJWT(server.JWTOptions{Keys: []server.Key{key}})
	if err != nil {
		panic(err)
	}
	// store/pebble.Open gives a store that outlives the program.
	srv, err := server.New(server.Options{Auth: jwt, Store: memory.New(memory.Options{})})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- srv.Run(ctx) }() // ends with ctx, received below

	mux := http.NewServeMux()
	mux.Handle("/v1/", srv) // clients connect to /v1/ws/, backends use the rest

	chat := srv.Session("chat-1")
	run, err := chat.OpenRun(ctx, server.RunOptions{ID: "answer-1"})
	if err != nil {
		panic(err)
	}
	model := strings.NewReader("The sun rises in the east.")
	if _, err := io.Copy(run, model); err != nil {
		panic(err)
	}
	if err := run.Complete(ctx, []byte(`{"tokens":7}`)); err != nil {
		panic(err)
	}
	page, err := chat.Read(ctx, driver.Query{})
	if err != nil {
		panic(err)
	}
	for _, e := range page.Entries {
		fmt.Println(e.Offset, e.Kind, e.Run.Status, e.Run.Body.Text(""), string(e.Run.End))
	}
	stop()
	if err := <-ended; err != nil {
		panic(err)
	}
	// Output:
	// 1 run complete The sun rises in the east. {"tokens":7}
}
