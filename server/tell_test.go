package server

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/attendance"
)

// noAuth is nobody's.
type noAuth struct{}

func (noAuth) Verify(context.Context, string) (holdfast.Grant, error) { return holdfast.Grant{}, nil }

// One member that cannot be written must not keep those of all others from being told, again each second and for ever.
func TestAMemberThatCannotBeWrittenIsLeftOut(t *testing.T) {
	var log bytes.Buffer
	s, err := New(Options{Auth: noAuth{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	note := func(user holdfast.UserID, name string) attendance.Note {
		return attendance.Note{Who: holdfast.Sender{User: user, Client: "c"}, Name: name, Change: holdfast.MemberJoined, Since: time.UnixMilli(7)}
	}
	if err := s.tellMembers(t.Context(), "chat-1", []attendance.Note{note("anna", "Anna"), note("ben", "Ben\xc3"), note("cleo", "")}); err != nil {
		t.Fatal(err)
	}
	kept, err := s.store.Consumers(t.Context(), memberPrefix, "", 10)
	if err != nil || len(kept) != 2 {
		t.Errorf("%d of 3 members are kept: %v, %v", len(kept), kept, err)
	}
	if err := s.tellMembers(t.Context(), "chat-1", []attendance.Note{note("ben", "Ben\xc3")}); err != nil {
		t.Errorf("with nothing that can be written: %v", err)
	}
	if lines := log.String(); strings.Count(lines, "left out") != 2 || !strings.Contains(lines, "user=ben") {
		t.Errorf("the log says %q", lines)
	}
}
