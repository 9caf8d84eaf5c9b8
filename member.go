package holdfast

import (
	"bytes"
	"encoding/json"
)

// MemberChange is what has become of a member of a session: of a client that reads it.
type MemberChange string

// The changes of members, a closed set.
const (
	// MemberJoined: it was not there before.
	MemberJoined MemberChange = "joined"
	// MemberAway: nobody looks at it any more; MemberBack: somebody does again.
	MemberAway MemberChange = "away"
	MemberBack MemberChange = "back"
	// MemberLeft: it is not there any more.
	MemberLeft MemberChange = "left"
)

// known reports whether the change is one of the set.
func (c MemberChange) known() bool {
	switch c {
	case MemberJoined, MemberAway, MemberBack, MemberLeft:
		return true
	}
	return false
}

// MemberEvent is what the data of a member's event says. It is in the feed alone, as an entry of [KindEvent] without an offset: the log
// does not tell who was there. Its sender is the member.
type MemberEvent struct {
	Change MemberChange `json:"change"`
	// Name is what the member calls itself; may be empty.
	Name string `json:"name,omitempty"`
	// Away: nobody looks at it; always so of one that is away, never of one that is back.
	Away bool `json:"away,omitempty"`
	// Since is when that happened, in Unix milliseconds.
	Since int64 `json:"since"`
}

// memberPrefix begins the data of every member's event.
const memberPrefix = `{"member":{`

type memberData struct {
	Member MemberEvent `json:"member"`
}

// Marshal returns the event's data.
func (m *MemberEvent) Marshal() (json.RawMessage, error) { return json.Marshal(memberData{*m}) }

// MemberEvent returns what a member's event says; false if the entry is not one.
func (e *Entry) MemberEvent() (MemberEvent, bool) {
	if e.Kind != KindEvent || e.Offset != 0 || !bytes.HasPrefix(e.Data, []byte(memberPrefix)) {
		return MemberEvent{}, false
	}
	var d memberData
	if json.Unmarshal(e.Data, &d) != nil || !d.Member.Change.known() {
		return MemberEvent{}, false
	}
	return d.Member, true
}
