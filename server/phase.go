package server

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast/holdfast"
)

// phase is what a server is about. It moves on, and never back.
type phase uint32

const (
	// asleep: Run was not called, or has not come far.
	asleep phase = iota
	// waiting: clients may stand by; the store is still another one's.
	waiting
	// serving: all of it.
	serving
	// leaving: who is here is served, and nobody else is taken.
	leaving
	// gone: nothing is written any more.
	gone
)

func (s *Server) is() phase { return phase(s.phase.Load()) }

// welcoming reports whether connecting here is of use.
func (s *Server) welcoming() bool {
	p := s.is()
	return (p == waiting || p == serving) && s.gate.Full() == nil
}

// whileWelcoming refuses dials, before anything is spent on them, while connecting here is of no use.
func (s *Server) whileWelcoming(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.welcoming() {
			notNow(w)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// notNow says when to come back: soon, and not all at once.
func notNow(w http.ResponseWriter) {
	w.Header().Set("Retry-After", strconv.Itoa(1+rand.N(3)))
	w.Header().Set("Connection", "close") // the next request may find another server
	http.Error(w, "the server takes no connections now; come back as Retry-After says", http.StatusServiceUnavailable)
}

// SetLimits replaces Options.Limits. It takes effect on what comes after it; nobody is sent away for it.
func (s *Server) SetLimits(l Limits) { s.gate.Set(l) }

// SetConnections replaces Options.Connections. The rules count for the connections that come after it; those that there are keep
// the ones that they came by. An error is [holdfast.CodeInvalid], and then nothing was changed.
func (s *Server) SetConnections(rules []ConnectionRule) error {
	for _, rule := range rules {
		if err := rule.Validate(); err != nil {
			return holdfast.Wrap(holdfast.CodeInvalid, err, "connections: %s", holdfast.MessageOf(err))
		}
	}
	s.conns.SetRules(slices.Clone(rules))
	return nil
}

// available waits until the store can be used.
func (s *Server) available(ctx context.Context) error {
	switch s.is() {
	case serving, leaving:
		return nil
	case waiting:
		timer := time.NewTimer(s.opts.HelloTimeout)
		defer timer.Stop()
		select {
		case <-s.open:
			return nil
		case <-timer.C:
		case <-s.stopping:
		case <-ctx.Done():
		}
	case asleep, gone:
	}
	return holdfast.Errorf(holdfast.CodeUnavailable, "the server is starting or stopping; repeat the request")
}

// String names the phase for people.
func (p phase) String() string {
	return [...]string{asleep: "starting", waiting: "waiting for the store", serving: "serving", leaving: "leaving", gone: "gone"}[p]
}
