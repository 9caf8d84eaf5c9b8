package server

import (
	"cmp"
	"context"
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/internal/hub"
)

// connections shows the hub's connections to the HTTP API.
type connections Server

var _ httpapi.Connections = (*connections)(nil)

// Connections implements [httpapi.Connections].
func (s *connections) Connections(_ context.Context, user holdfast.UserID) ([]httpapi.Connection, error) {
	all := []httpapi.Connection{}
	for _, c := range s.hub.Connections(user) {
		all = append(all, describe(c.Describe()))
	}
	slices.SortFunc(all, func(a, b httpapi.Connection) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Conn, b.Conn))
	})
	return all, nil
}

func describe(d hub.ConnInfo) httpapi.Connection {
	c := httpapi.Connection{
		Conn: d.ID, User: d.User, Client: d.Client, Generation: d.Generation, Transport: d.Transport, Agent: d.Agent,
		Since: d.Since, Sessions: d.Sessions, Heard: d.Heard, Said: d.Said, In: d.In, Out: d.Out, Resumed: d.Resumed,
	}
	for _, p := range d.Positions {
		c.Positions = append(c.Positions, httpapi.Progress(p))
	}
	return c
}

// Disconnect implements [httpapi.Connections].
func (s *connections) Disconnect(_ context.Context, id holdfast.ConnID) (bool, error) {
	c, ok := s.hub.Connection(id)
	if ok {
		c.End(holdfast.CloseKicked, "ended by the application")
	}
	return ok, nil
}

// AskReport implements [httpapi.Connections].
func (s *connections) AskReport(_ context.Context, id holdfast.ConnID) (bool, error) {
	c, ok := s.hub.Connection(id)
	if ok {
		c.AskReport()
	}
	return ok, nil
}

// DisconnectUser implements [httpapi.Connections].
func (s *connections) DisconnectUser(_ context.Context, user holdfast.UserID) (int, error) {
	all := s.hub.Connections(user)
	for _, c := range all {
		c.End(holdfast.CloseKicked, "ended by the application")
	}
	return len(all), nil
}

// RemoteOf returns the address of the peer of a live connection, as the server sees it.
func (s *Server) RemoteOf(id holdfast.ConnID) (string, bool) {
	c, ok := s.hub.Connection(id)
	if !ok {
		return "", false
	}
	return c.Describe().Remote, true
}
