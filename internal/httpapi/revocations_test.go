package httpapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
)

type revoked struct {
	ID, Token, User, Client, Session, Reason string
	Actions                                  []string
	At, Until                                int64
}

func TestRevocations(t *testing.T) {
	b := serve(t, nil)
	var done struct {
		Revocation      revoked
		Closed, Changed int
	}
	b.must(201, post("/v1/revocations", `{"user":"ada","client":"phone","session":"chat-*","actions":["send"],"reason":"lost","until":9000000000000}`), &done)
	want := revoked{ID: "r-1", User: "ada", Client: "phone", Session: "chat-*", Reason: "lost", Actions: []string{"send"}, At: 9000, Until: 9000000000000}
	if d := cmp.Diff(want, done.Revocation); d != "" || done.Closed != 2 || done.Changed != 1 {
		t.Errorf("%d closed, %d changed, %s", done.Closed, done.Changed, d)
	}
	var list struct{ Revocations []revoked }
	b.must(200, request{path: "/v1/revocations"}, &list)
	if d := cmp.Diff([]revoked{want}, list.Revocations); d != "" {
		t.Error(d)
	}
	for _, body := range []string{
		`{}`, `{"reason":"x"}`, `{"client":"phone"}`, `{"user":"ada","actions":["dance"]}`, `{"user":"ada","until":1}`,
		`{"user":"ada","session":"chat-{user}"}`, `{"user":"ada","device":"phone"}`, `{"user":"a\nb"}`,
	} {
		b.do(post("/v1/revocations", body)).refused(t, 400, holdfast.CodeInvalid)
	}
	withToken := post("/v1/revocations", `{"user":"ada"}`)
	withToken.token = readerToken
	b.do(withToken).refused(t, 403, holdfast.CodeForbidden)
	b.must(204, request{method: "DELETE", path: "/v1/revocations/r-1"}, nil)
	b.do(request{method: "DELETE", path: "/v1/revocations/r-1"}).refused(t, 404, holdfast.CodeNotFound)
}

func TestNobodyKeepsRevocations(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) { o.Revocations = nil })
	b.do(post("/v1/revocations", `{"user":"ada"}`)).refused(t, 503, holdfast.CodeUnavailable)
	b.must(200, request{path: "/v1/revocations"}, nil)
}
