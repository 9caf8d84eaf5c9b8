package server_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/store/pending"
	"github.com/holdfast/holdfast/wire"
)

// noticing tells of each token that was looked at.
type noticing struct {
	server.Auth
	seen chan struct{}
}

func (a *noticing) Verify(ctx context.Context, token string) (holdfast.Grant, error) {
	g, err := a.Auth.Verify(ctx, token)
	a.seen <- struct{}{}
	return g, err
}

// kept outlives its server, as what is on a disk does.
type kept struct{ driver.Driver }

func (kept) Close() error { return nil }

// waiting starts a node whose store is another one's until open is called. In the store it says that the token t1 is revoked.
func waiting(t *testing.T) (n *node, seen <-chan struct{}, open func()) {
	t.Helper()
	db := kept{memory.New(memory.Options{})}
	before := start(t, server.Options{Store: db})
	if _, _, _, err := before.srv.Revoke(t.Context(), server.Revocation{Token: "t1"}); err != nil {
		t.Fatal(err)
	}
	before.stop()
	let := make(chan struct{})
	a := &noticing{seen: make(chan struct{}, 100)}
	n = start(t, server.Options{Auth: a, Store: pending.New(db.Durability(), func(ctx context.Context) (driver.Driver, error) {
		select {
		case <-let:
			return db, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})})
	open = sync.OnceFunc(func() { close(let) })
	t.Cleanup(open)
	return n, a.seen, open
}

// A server that takes another one's place has verified who comes; what they want waits for the store, and a token that was taken
// back is no good then either.
func TestRequestsWaitForTheStore(t *testing.T) {
	n, seen, open := waiting(t)
	hello := func(token string) string {
		return fmt.Sprintf(`{"t":"hello","v":1,"token":%q,"client":"c1","gen":1,"mode":"aside"}`, token) + "\n" +
			`{"t":"send","s":"chat-1","id":"m1","data":"hi"}`
	}
	good, revoked := n.user("anna"), n.token(claims("t1"))
	var asides [2][]string
	var statuses [2]int
	var requests sync.WaitGroup
	for i, token := range []string{good, revoked} {
		requests.Go(func() { asides[i] = types(n.ask(t, "send", hello(token)).rest(t)) })
		requests.Go(func() { statuses[i], _ = n.request(http.MethodGet, "/v1/sessions/chat-1/entries", token, "") })
	}
	for range 4 {
		<-seen
	}
	open()
	requests.Wait()
	if diff := cmp.Diff([2][]string{{"Ready", "Ack"}, {"Bye"}}, asides); diff != "" {
		t.Errorf("asides, of a good token and of one that was revoked (-want +got):\n%s", diff)
	}
	if statuses[0] != http.StatusOK && statuses[0] != http.StatusNotFound || statuses[1] != http.StatusUnauthorized {
		t.Errorf("requests, of a good token and of one that was revoked: %v", statuses)
	}
	p := n.dial()
	p.send(&wire.Hello{Version: 1, Token: revoked, Client: "c2", Gen: 1})
	p.cutWith(holdfast.CloseUnauthorized)
}
