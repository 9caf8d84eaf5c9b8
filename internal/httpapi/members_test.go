package httpapi_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
)

func TestMembers(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) {
		o.Members = func(s holdfast.SessionID) []httpapi.Member {
			if s != "chat-42" {
				return nil
			}
			return []httpapi.Member{
				{User: "ada", Client: "phone", Name: "Ada's phone", Away: true, Since: time.UnixMilli(5000)},
				{User: "bob", Client: "b", Since: time.UnixMilli(6000), Epoch: "e1", Read: 7, Shown: 9},
			}
		}
	})
	type member struct {
		User, Client, Name, Epoch string
		Away                      bool
		Since                     int64
		Read, Shown               uint64
	}
	var got struct{ Members []member }
	b.must(200, request{path: "/v1/sessions/chat-42/members"}, &got)
	want := []member{
		{User: "ada", Client: "phone", Name: "Ada's phone", Away: true, Since: 5000},
		{User: "bob", Client: "b", Since: 6000, Epoch: "e1", Read: 7, Shown: 9},
	}
	if d := cmp.Diff(got.Members, want); d != "" {
		t.Errorf("members (-got +want):\n%s", d)
	}
	b.must(200, request{path: "/v1/sessions/never/members"}, &got)
	if len(got.Members) != 0 {
		t.Errorf("got %+v", got)
	}
	b.must(200, request{path: "/v1/sessions/chat-42/members", token: readerToken}, &got)
	b.do(request{path: "/v1/sessions/secret/members", token: readerToken}).refused(t, 403, holdfast.CodeForbidden)
	b.do(request{path: "/v1/sessions/chat-42/members?x=1"}).refused(t, 400, holdfast.CodeInvalid)
}
