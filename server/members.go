package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/attendance"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/store/driver"
)

// memberPrefix begins the names under which the store keeps who the outbox says is there.
const memberPrefix = "presence/"

// memberRecord is a member that the outbox says is there. It is written in the same step as that.
type memberRecord struct {
	Session holdfast.SessionID `json:"session"`
	User    holdfast.UserID    `json:"user"`
	Client  holdfast.ClientID  `json:"client"`
	Name    string             `json:"name,omitzero"`
	Away    bool               `json:"away,omitzero"`
	Since   int64              `json:"since"`
}

// memberName is under what a member is kept. Ids may be too long to be parts of a name.
func memberName(s holdfast.SessionID, who holdfast.Sender) string {
	short := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:16])
	}
	return memberPrefix + short(string(s)) + "/" + short(string(who.User)+"\x00"+string(who.Client))
}

// noted says of which sessions webhooks are told who is there; nil: of none.
func (s *Server) noted() func(holdfast.SessionID) bool {
	var hooks []Webhook
	for _, w := range s.opts.Webhooks {
		if w.AsksForMembers() {
			hooks = append(hooks, w)
		}
	}
	if hooks == nil {
		return nil
	}
	return func(id holdfast.SessionID) bool {
		for i := range hooks {
			if hooks[i].Of(id) {
				return true
			}
		}
		return false
	}
}

// recallMembers reads who was there when the server stopped, however it did, so that those who do not come back are told to have left.
func (s *Server) recallMembers(ctx context.Context) error {
	if s.rooms.Noted == nil {
		return nil
	}
	for after := ""; ; {
		page, err := s.store.Consumers(ctx, memberPrefix, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			var r memberRecord
			if err := json.Unmarshal([]byte(c.Value), &r); err != nil {
				return holdfast.Wrap(holdfast.CodeInternal, err, "the record %s of the store is damaged", c.Name)
			}
			s.rooms.Recall(r.Session, presence.Member{
				Who: holdfast.Sender{User: r.User, Client: r.Client}, Name: r.Name, Away: r.Away, Since: time.UnixMilli(r.Since),
			})
			after = c.Name
		}
	}
}

// noteMembers writes once a second what is new of who is there.
func (s *Server) noteMembers(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.rooms.Note(ctx, s.tellMembers)
		}
	}
}

// tellMembers puts into the outbox what has become of members of a session. What cannot be written of one is left out, for good: tried
// again it would fail again, and keep what is told of the others.
func (s *Server) tellMembers(ctx context.Context, id holdfast.SessionID, notes []attendance.Note) error {
	var op driver.Tell
	for i := range notes {
		entry, kept, err := toldOf(id, &notes[i])
		if err != nil {
			s.opts.Logger.Error("what became of a member cannot be written for webhooks, and is left out", "session", id,
				"user", notes[i].Who.User, "client", notes[i].Who.Client, "change", notes[i].Change, "err", err)
			continue
		}
		op.Entries, op.Consumers = append(op.Entries, entry), append(op.Consumers, kept)
	}
	if len(op.Entries) == 0 {
		return nil
	}
	if _, err := s.store.Apply(ctx, id, op); err != nil {
		if ctx.Err() == nil {
			s.opts.Logger.Error("who is there in a session could not be written for webhooks, and will be with what follows", "session", id, "err", err)
		}
		return err
	}
	s.feed.ring()
	return nil
}

// toldOf is the event that says what has become of a member, and what is kept of it.
func toldOf(id holdfast.SessionID, n *attendance.Note) (entry driver.NewEntry, kept driver.ConsumerValue, err error) {
	ev := holdfast.MemberEvent{Change: n.Change, Name: n.Name, Away: n.Away, Since: n.Since.UnixMilli()}
	data, err := ev.Marshal()
	if err != nil {
		return entry, kept, err
	}
	kept.Name = memberName(id, n.Who)
	if n.Change != holdfast.MemberLeft {
		r, err := json.Marshal(&memberRecord{id, n.Who.User, n.Who.Client, n.Name, n.Away, n.Since.UnixMilli()})
		if err != nil {
			return entry, kept, err
		}
		kept.Value = string(r)
	}
	return driver.NewEntry{Kind: holdfast.KindEvent, From: n.Who, Data: data}, kept, nil
}
