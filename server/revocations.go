package server

import (
	"context"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/internal/revocation"
)

// Revocation takes back what tokens allow before they expire; see [Server.Revoke].
type Revocation = revocation.Rule

// Revoke takes back what tokens allow: now, for the connections that there are, and durably. It returns the revocation with its
// id, and how many connections were closed (with [holdfast.CloseUnauthorized]) and how many have less than before. One
// without Until is kept for Options.RevocationAge. Errors are [holdfast.CodeInvalid], [holdfast.CodeTooLarge] or the store's.
func (s *Server) Revoke(ctx context.Context, r Revocation) (done Revocation, closed, changed int, err error) {
	switch now := s.opts.Now(); {
	case !r.Until.IsZero() && !r.Until.After(now):
		return r, 0, 0, holdfast.Errorf(holdfast.CodeInvalid, "until is over; a revocation lasts until a time that is to come")
	case r.Until.IsZero() && s.opts.RevocationAge > 0:
		r.Until = now.Add(s.opts.RevocationAge)
	}
	done, err = s.revoked.Add(ctx, r)
	if err != nil {
		return done, 0, 0, err
	}
	closed, changed = s.recheck(done.User)
	s.opts.Logger.Info("revoked", "id", done.ID, "user", done.User, "client", done.Client, "session", done.Session, "actions", done.Actions,
		"until", done.Until, "closed", closed, "changed", changed)
	return done, closed, changed, nil
}

// recheck applies the revocations to the live connections of a user, or of all.
func (s *Server) recheck(user holdfast.UserID) (closed, changed int) {
	for _, c := range s.hub.Connections(user) {
		live, ok := c.(interface{ Recheck() (ended, changed bool) })
		if !ok {
			continue
		}
		switch ended, less := live.Recheck(); {
		case ended:
			closed++
		case less:
			changed++
		}
	}
	return closed, changed
}

// Restore takes a revocation back; false if there is none of that id. Readings that were denied are the client's to ask for
// again.
func (s *Server) Restore(ctx context.Context, id string) (bool, error) {
	found, err := s.revoked.Remove(ctx, id)
	if found {
		s.recheck("")
	}
	return found, err
}

// Revocations returns what is revoked, by time.
func (s *Server) Revocations() []Revocation { return s.revoked.List() }

// tidyRevocations forgets revocations whose time is over, until ctx ends.
func (s *Server) tidyRevocations(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := s.revoked.Tidy(ctx); err != nil && ctx.Err() == nil {
			s.opts.Logger.Warn("revocations whose time is over cannot be removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

var _ httpapi.Revocations = (*Server)(nil)
