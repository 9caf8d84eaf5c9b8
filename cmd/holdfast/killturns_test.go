package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
)

// TestClause2_KillLosesNothingThatWaits kills the server while its queue is full, again and again. What was acknowledged as waiting
// waits afterwards, in its order, and then has its turn, once.
func TestClause2_KillLosesNothingThatWaits(t *testing.T) {
	p := startProcess(t, "--turns", "queue")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	token := p.token(auth.Claims{User: "anna", Read: []string{"*"}, Send: []string{"*"}})
	c, err := client.New(client.Options{URL: p.url(""), ClientID: "phone", Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	defer func() { stop(); running.Wait() }()
	var want []string
	say := func(n int) {
		t.Helper()
		id := fmt.Sprintf("m%d", n)
		ack, err := c.Send(ctx, "chat", id, []byte(`1`))
		if err != nil || (ack.State != "") != (n > 0) {
			t.Fatalf("%s: %+v, %v", id, ack, err)
		}
		want = append(want, id)
	}
	for n := range 1 + 32 {
		say(n)
	}
	backend := p.token(auth.Claims{Backend: true})
	for round := range killRounds() {
		p.kill()
		p.start()
		c.Wake() // so many failed dials have spent its budget
		p.sameTurns(backend, want, round)
		ack, err := c.Send(ctx, "chat", want[round+1], []byte(`1`)) // what was sent before is where it was
		if err != nil || !ack.Duplicate || ack.State != string(holdfast.TurnQueued) {
			t.Fatalf("round %d: a repeat of %s: %+v, %v", round, want[round+1], ack, err)
		}
		p.endTurn(backend)
		say(33 + round) // there is room for one more
	}
	for range 32 {
		p.endTurn(backend)
	}
	p.sameTurns(backend, want, killRounds()+32)
}

type turnsJSON struct {
	Turn  holdfast.Offset `json:"turn"`
	Queue []struct {
		ID string `json:"id"`
	} `json:"queue"`
}

// sameTurns compares who had a turn and who waits with what was acknowledged: after so many turns that ended, one more was let in.
func (p *process) sameTurns(token string, want []string, ended int) {
	p.t.Helper()
	var turns turnsJSON
	if err := p.call(p.t.Context(), http.MethodGet, "/v1/sessions/chat/turns", token, nil, &turns); err != nil {
		p.t.Fatal(err)
	}
	var got []string
	for _, e := range p.log("chat") {
		if e.ID != "" {
			got = append(got, e.ID)
		}
	}
	if len(got) != min(ended+1, len(want)) {
		p.t.Errorf("%d messages had a turn, %d turns have ended", len(got), ended)
	}
	for _, h := range turns.Queue {
		got = append(got, h.ID)
	}
	if !slices.Equal(got, want) {
		p.t.Fatalf("after %d turns there are %v, acknowledged were %v", ended, got, want)
	}
}

// endTurn says that there will be no answer to the message whose turn it is.
func (p *process) endTurn(token string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	var turns turnsJSON
	if err := p.call(ctx, http.MethodGet, "/v1/sessions/chat/turns", token, nil, &turns); err != nil {
		p.t.Fatal(err)
	}
	if err := p.call(ctx, http.MethodPost, fmt.Sprintf("/v1/sessions/chat/turns/%d/done", turns.Turn), token, nil, nil); err != nil {
		p.t.Fatal(err)
	}
}
