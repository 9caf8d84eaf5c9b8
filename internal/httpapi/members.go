package httpapi

import (
	"net/http"
	"time"

	"github.com/holdfast/holdfast"
)

// Member is one client that reads a session, or lately did.
type Member struct {
	User   holdfast.UserID
	Client holdfast.ClientID
	// Name is what the client calls itself. May be empty.
	Name string
	// Away: nobody looks at it. Since is when it became what it is, here or away.
	Away  bool
	Since time.Time
	// Read is how far its user has read, and Shown how far it has shown, in an epoch; 0 while it has not said.
	Epoch       holdfast.Epoch
	Read, Shown holdfast.Offset
}

type memberObject struct {
	User   holdfast.UserID   `json:"user"`
	Client holdfast.ClientID `json:"client"`
	Name   string            `json:"name,omitzero"`
	Away   bool              `json:"away"`
	Since  int64             `json:"since"`
	Epoch  holdfast.Epoch    `json:"epoch,omitzero"`
	Read   holdfast.Offset   `json:"read"`
	Shown  holdfast.Offset   `json:"shown"`
}

type membersAnswer struct {
	Members []memberObject `json:"members"`
}

func (a *api) getMembers(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	out := membersAnswer{Members: []memberObject{}}
	if a.Members != nil {
		for _, m := range a.Members(c.session) {
			out.Members = append(out.Members, memberObject{
				m.User, m.Client, m.Name, m.Away, m.Since.UnixMilli(), m.Epoch, m.Read, m.Shown,
			})
		}
	}
	return c.answer(http.StatusOK, out)
}
