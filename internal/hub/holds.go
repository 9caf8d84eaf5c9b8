package hub

import (
	"slices"

	"github.com/holdfast/holdfast"
)

// Holds reports whether a client of a user has a living connection on this node.
func (h *Hub) Holds(user holdfast.UserID, client holdfast.ClientID) bool {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	return slices.ContainsFunc(h.people.users[user], func(a attached) bool { return a.client == client })
}
