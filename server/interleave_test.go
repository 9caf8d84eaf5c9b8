package server_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/runtest"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/memory"
)

// interleavings is how many random ones are played; more in the long form.
func interleavings() uint64 {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 1000
	}
	return 60
}

// trusting takes everybody for the backend.
type trusting struct{}

func (trusting) Verify(context.Context, string) (holdfast.Grant, error) {
	return holdfast.Grant{Backend: true}, nil
}

// inHand is a server without sockets, which may be away.
type inHand struct{ srv atomic.Pointer[server.Server] }

// RoundTrip implements [http.RoundTripper].
func (h *inHand) RoundTrip(req *http.Request) (*http.Response, error) {
	srv := h.srv.Load()
	if srv == nil {
		return nil, runtest.ErrAway
	}
	rec := httptest.NewRecorder()
	srv.ServeHTTP(rec, req)
	return rec.Result(), nil
}

// The unit of [runtest.Play], and what follows from it.
const (
	playUnit  = 3 * time.Second
	playLease = 10 * playUnit
	playGrace = 5 * playUnit
)

// serve lets a server run over the store until stop is called.
func (h *inHand) serve(t *testing.T, db keep) (stop func()) {
	t.Helper()
	srv, err := server.New(server.Options{Auth: trusting{}, Store: db, Lease: playLease, StopGrace: playGrace, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }() // ends with ctx, received below
	synctest.Wait()
	h.srv.Store(srv)
	return func() {
		h.srv.Store(nil)
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
}

// playOne plays with one run while its server restarts up to three times, and returns what was asked and told, and how the run
// ended; nil if there was none.
func playOne(t *testing.T, seed uint64) (*runtest.History, *runtest.Outcome) {
	t.Helper()
	var h inHand
	db := keep{memory.New(memory.Options{})}
	stop := h.serve(t, db)
	api := &runtest.API{HTTP: &h, Base: "http://server", Token: "any", Session: "chat-1"}
	if err := api.Say(t.Context()); err != nil {
		t.Fatal(err)
	}
	played := make(chan *runtest.History, 1)
	go func() { played <- runtest.Play(t.Context(), seed, playUnit, api) }() // ends by itself, received below
	chance := rand.New(rand.NewPCG(seed, 99))
	for range chance.IntN(4) {
		<-time.After(time.Duration(chance.Int64N(int64(12 * playUnit))))
		stop()
		<-time.After(time.Duration(chance.Int64N(int64(3 * playUnit))))
		stop = h.serve(t, db)
	}
	history := <-played
	// Whoever was left alone is ended by now.
	<-time.After(playLease + playGrace + 2*time.Second)
	out, err := api.Outcome(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	return history, out
}

// TestClause7_EveryInterleavingEndsOnce lets producers, people who press Stop, crashes, take-overs, leases that lapse and
// restarts meet at random. Each run ends once, and there is an order of all that was asked which explains all that was told.
func TestClause7_EveryInterleavingEndsOnce(t *testing.T) {
	ends, asked := map[holdfast.RunStatus]int{}, 0
	for seed := range interleavings() {
		var history *runtest.History
		var out *runtest.Outcome
		synctest.Test(t, func(t *testing.T) { history, out = playOne(t, seed) })
		if err := history.Check(); err != nil {
			t.Errorf("play %d: %v", seed, err)
		}
		asked += history.Len()
		if out == nil {
			ends["none"]++
			continue
		}
		ends[out.Status]++
		if err := out.Check(); err != nil {
			t.Errorf("play %d: %v", seed, err)
		}
	}
	t.Logf("%d runs, %d requests; they ended as %v", interleavings(), asked, ends)
}
