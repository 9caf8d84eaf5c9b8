package httpapi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
)

type connections struct {
	Connections []struct {
		Conn, User, Client, Transport, Agent string
		Generation                           uint64
		Since                                int64
		Sessions                             []string
	}
}

func TestConnections(t *testing.T) {
	b := serve(t, nil)
	list := func(user string) (out []string) {
		var l connections
		b.must(200, request{path: "/v1/users/" + user + "/connections"}, &l)
		for _, c := range l.Connections {
			out = append(out, fmt.Sprintln(c.Conn, c.User, c.Client, c.Generation, c.Transport, c.Since, c.Sessions))
		}
		return out
	}
	want := []string{"c-1 ada phone 3 ws 5000 [chat-42]\n", "c-2 ada laptop 1  6000 []\n"}
	if d := cmp.Diff(list("ada"), want); d != "" {
		t.Errorf("connections (-got +want):\n%s", d)
	}
	b.must(204, request{method: "DELETE", path: "/v1/connections/c-1"}, nil)
	b.do(request{method: "DELETE", path: "/v1/connections/c-1"}).refused(t, 404, holdfast.CodeNotFound)
	if d := cmp.Diff(list("ada"), want[1:]); d != "" {
		t.Errorf("after one is gone (-got +want):\n%s", d)
	}
	var n struct{ Disconnected int }
	b.must(200, request{method: "DELETE", path: "/v1/users/ada/connections"}, &n)
	if n.Disconnected != 1 || len(list("ada")) != 0 || len(list("bob")) != 1 {
		t.Errorf("%d disconnected; ada has %v, bob %v", n.Disconnected, list("ada"), list("bob"))
	}
	if got := list("caf%C3%A9%2Fx"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestAskReport(t *testing.T) {
	b := serve(t, nil)
	b.must(202, request{method: "POST", path: "/v1/connections/c-1/report"}, nil)
	b.do(request{method: "POST", path: "/v1/connections/c-9/report"}).refused(t, 404, holdfast.CodeNotFound)
	b.do(request{method: "POST", path: "/v1/connections/c-1/report", token: readerToken}).refused(t, 403, holdfast.CodeForbidden)
	b.do(request{method: "POST", path: "/v1/connections/c-1/report?soon=1"}).refused(t, 400, holdfast.CodeInvalid)
	if d := cmp.Diff(b.conns.asked, []holdfast.ConnID{"c-1"}); d != "" {
		t.Errorf("asked (-got +want):\n%s", d)
	}
}

func TestServerWithoutConnections(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) { o.Connections = nil })
	var l connections
	b.must(200, request{path: "/v1/users/ada/connections"}, &l)
	if len(l.Connections) != 0 {
		t.Errorf("got %+v", l)
	}
	b.do(request{method: "DELETE", path: "/v1/connections/c-1"}).refused(t, 404, holdfast.CodeNotFound)
	b.do(request{method: "POST", path: "/v1/connections/c-1/report"}).refused(t, 404, holdfast.CodeNotFound)
}
