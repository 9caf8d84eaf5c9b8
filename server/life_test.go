package server_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// A server that another one follows has its clients stand by there before it tells them to go: while it has the store still, or, if it can
// show them what the other one writes, when that one has it.
func TestClientsStandByBeforeTheyGo(t *testing.T) {
	for name, relay := range map[string]func(context.Context, func(driver.Change)) error{
		"nothing is passed on": nil,
		"changes are passed on": func(ctx context.Context, _ func(driver.Change)) error {
			<-ctx.Done()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var taken atomic.Bool
			n := start(t, server.Options{
				Successor: func(context.Context) bool { return true },
				Taken:     func(context.Context) { taken.Store(true) },
				Relay:     relay,
			})
			anna := n.hello("anna", "a1", "chat-1")
			var stopping sync.WaitGroup
			stopping.Go(n.stop)
			defer stopping.Wait()
			if f, ok := anna.next().(*wire.Move); !ok {
				t.Errorf("told %v, want to stand by elsewhere", f)
			}
			if taken.Load() != (relay != nil) {
				t.Errorf("the other one has the store: %v", taken.Load())
			}
			if relay == nil {
				if code, body := n.request("POST", "/v1/sessions/chat-1/entries", n.backend(), `{"id":"k1","data":"hi"}`); code != http.StatusCreated {
					t.Errorf("a backend is answered %d %s", code, body)
				}
				if f, ok := anna.next().(*wire.EntryFrame); !ok || f.Entry.ID != "k1" {
					t.Errorf("told %v, want what was written meanwhile", f)
				}
			}
			wantEnd(t, anna, holdfast.CloseRestart)
		})
	}
}

// Whoever waits for others, as for an application that takes its time, does not keep the store from the next server.
func TestNobodyWaitsForCallersWhileTheStoreIsNobodys(t *testing.T) {
	called, answer := make(chan struct{}, 1), make(chan struct{})
	taken := make(chan struct{})
	n := start(t, server.Options{
		Successor: func(context.Context) bool { return true },
		Taken:     func(context.Context) { close(taken) },
		OnMessage: func(context.Context, server.Message) error {
			called <- struct{}{}
			<-answer // whatever its context says
			return nil
		},
	})
	anna := n.hello("anna", "a1", "chat-1")
	anna.send(&wire.Send{Session: "chat-1", ID: "m1", Data: []byte(`1`)})
	<-called
	var stopping sync.WaitGroup
	stopping.Go(n.stop)
	<-taken
	close(answer)
	stopping.Wait()
}
