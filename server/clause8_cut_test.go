package server_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/faults"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

// far is a producer whose line to the server can be cut.
type far struct {
	n     *node
	proxy *faults.Proxy
	http  *http.Client
}

func (n *node) far() *far {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	f := &far{n: n, proxy: faults.New(l, strings.TrimPrefix(n.web.URL, "http://")), http: &http.Client{Transport: &http.Transport{}}}
	n.t.Cleanup(func() { _ = f.proxy.Close() })
	return f
}

// ask makes a request over the producer's own line; the code is empty where it was not refused.
func (f *far) ask(path, body string) (code holdfast.Code, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+f.proxy.Addr().String()+"/v1/sessions/chat-1"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+f.n.backend())
	req.Header.Set("Content-Type", "application/json")
	res, err := f.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode < 300 {
		return "", nil
	}
	var problem struct{ Code holdfast.Code }
	return problem.Code, json.NewDecoder(res.Body).Decode(&problem)
}

func (f *far) must(path, body string) {
	f.n.t.Helper()
	if code, err := f.ask(path, body); code != "" || err != nil {
		f.n.t.Fatalf("POST %s: %s %v", path, code, err)
	}
}

// cut takes the producer's line away, or gives it back.
func (f *far) cut(on bool) {
	f.proxy.SetRefuse(on)
	if !on {
		return
	}
	for _, l := range f.proxy.Links() {
		l.Cut()
	}
}

// await reads until a frame is what is looked for, and returns how long that took.
func (p *peer) await(what func(wire.ServerFrame) bool) time.Duration {
	p.t.Helper()
	began := time.Now()
	for !what(p.next()) {
	}
	return time.Since(began)
}

func tellsOf(s holdfast.StopState) func(wire.ServerFrame) bool {
	return func(f wire.ServerFrame) bool {
		e, ok := f.(*wire.EntryFrame)
		return ok && e.Entry.Kind == holdfast.KindEvent && strings.Contains(string(e.Entry.Data), `"state":"`+string(s)+`"`)
	}
}

// stopSeen is within which time whoever pressed Stop sees how it stands.
const stopSeen = 2 * time.Second

// TestClause8_StopWhileOthersAreAway presses Stop on device B while device A is offline and the producer's line is cut. B sees
// how it stands at once; when the producer returns, within the grace or after it, nothing is appended; and A sees the same.
func TestClause8_StopWhileOthersAreAway(t *testing.T) {
	for _, c := range []struct {
		name    string
		back    bool // the producer is back within the grace
		outcome holdfast.StopState
	}{{"back in time", true, holdfast.StopStopped}, {"back too late", false, holdfast.StopUnreachable}} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, server.Options{Store: memory.New(memory.Options{}), StopGrace: time.Second, Lease: time.Minute})
			producer := n.far()
			producer.must("/runs", `{"id":"a"}`)
			producer.must("/runs/1/fragments", `{"fence":1,"after":0,"fragments":[{"text":"so far"}]}`)
			a, b := n.hello("anna", "a", "chat-1"), n.dial()
			all := []string{"chat-*"}
			token := n.token(auth.Claims{User: "anna", Read: all, Send: all, Stop: all})
			b.send(&wire.Hello{Version: 1, Token: token, Client: "b", Gen: 1, Subs: []wire.Sub{{Session: "chat-1"}}})
			b.await(func(f wire.ServerFrame) bool { _, ok := f.(*wire.Live); return ok })

			_ = a.ws.CloseNow()
			producer.cut(true)
			b.send(&wire.Stop{Session: "chat-1", ID: "s1", Run: 1})
			seen := b.await(tellsOf(holdfast.StopRequested))
			if seen > stopSeen {
				t.Errorf("the stop was seen after %s", seen)
			}
			if !c.back {
				b.await(tellsOf(c.outcome))
			}
			if _, err := producer.ask("/runs/1/fragments", `{"fence":1,"fragments":[]}`); err == nil {
				t.Fatal("the line is not cut")
			}
			producer.cut(false)
			if code, err := producer.ask("/runs/1/fragments", `{"fence":1,"after":1,"fragments":[{"text":" and more"}]}`); code != holdfast.CodeStopped {
				t.Errorf("the producer that is back was told %q %v", code, err)
			}
			producer.must("/runs/1/end", `{"fence":1,"status":"stopped"}`)
			if c.back {
				b.await(tellsOf(c.outcome))
			}
			a = n.dial()
			a.send(&wire.Hello{Version: 1, Token: n.user("anna"), Client: "a", Gen: 2, Subs: []wire.Sub{{Session: "chat-1"}}})
			a.await(func(f wire.ServerFrame) bool {
				e, ok := f.(*wire.EntryFrame)
				if !ok || e.Entry.Run == nil {
					return false
				}
				got := fmt.Sprint(e.Entry.Run.Status, e.Entry.Run.Stop.State, e.Entry.Run.Body.Text(""))
				if want := fmt.Sprint(holdfast.RunStopped, c.outcome, "so far"); got != want {
					t.Errorf("device A sees %s, want %s", got, want)
				}
				return true
			})
			t.Logf("seen after %s", seen)
		})
	}
}
