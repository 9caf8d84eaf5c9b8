package wire

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/holdfast/holdfast"
)

var update = flag.Bool("update", false, "write testdata/golden.json anew")

// goldenFile is read by the TypeScript client's tests too: it is where the two sides meet.
const goldenFile = "testdata/golden.json"

type golden struct {
	Name  string          `json:"name"`
	From  string          `json:"from"` // client or server
	Frame json.RawMessage `json:"frame"`
}

const epoch = holdfast.Epoch("k3j9x2abqz")

var at = time.UnixMilli(1790000000123).UTC()

func clientFrames() map[string]ClientFrame {
	cursor := &holdfast.Cursor{
		Position: holdfast.Position{Epoch: epoch, Offset: 812, Tag: 1871934},
		Runs:     []holdfast.RunCursor{{Run: 806, Fragment: 40, Tag: 99213}, {Run: 810, Fragment: 0, Tag: 0}},
	}
	return map[string]ClientFrame{
		"hello": &Hello{Version: 1, Token: "tok.en.sig", Client: "c-7f", Gen: 7, Agent: "test/1", Subs: []Sub{
			{Session: "chat-1", Last: 15}, {Session: "chat-2", Cursor: cursor}, {Session: "chat-3"}}},
		"hello without sessions": &Hello{Version: 1, Token: "t", Client: "c", Gen: 1},
		"hello standby":          &Hello{Version: 1, Token: "t", Client: "c", Gen: 7, Mode: ModeStandby},
		"hello hidden":           &Hello{Version: 1, Token: "t", Client: "c", Gen: 7, Hidden: true, Subs: []Sub{{Session: "chat-1"}}},
		"hello aside":            &Hello{Version: 1, Token: "t", Client: "c", Mode: ModeAside},
		"hello of a poll":        &Hello{Version: 1, Token: "t", Client: "c", Gen: 8, Wait: 15000, Subs: []Sub{{Session: "chat-1", Cursor: cursor}}},
		"take":                   &Take{Gen: 8, Subs: []Sub{{Session: "chat-2", Cursor: cursor}, {Session: "chat-3", Last: 15}}},
		"take hidden":            &Take{Gen: 8, Hidden: true},
		"view hidden":            &View{Hidden: true},
		"view seen":              &View{},
		"bye to park":            &Bye{Park: true},
		"sub with last":          &Sub{Session: "chat-1", Last: 15},
		"sub with cursor":        &Sub{Session: "chat-1", Last: 50, Cursor: cursor},
		"sub with empty cursor":  &Sub{Session: "chat-1", Cursor: &holdfast.Cursor{}},
		"sub with rollup":        &Sub{Session: "chat-1", Last: 15, Rollup: 100},
		"unsub":                  &Unsub{Session: "chat-1"},
		"page back":              &PageRequest{ID: "p1", Session: "chat-1", Before: 798, Limit: 50},
		"page on":                &PageRequest{ID: "p2", Session: "chat-1", After: 798},
		"send the first":         &Send{Session: "chat-1", ID: "c-7f:12", Data: json.RawMessage(`1`), First: true},
		"send":                   &Send{Session: "chat-1", ID: "c-7f:12", Data: json.RawMessage(`{"text":"Grüße \"all\"\n\u2028"}`)},
		"stop":                   &Stop{Session: "chat-1", ID: "c-7f:13", Run: 806},
		"withdraw":               &Queue{Session: "chat-1", ID: "c-7f:15", Do: QueueWithdraw, Of: QueueRef{ID: "c-7f:14"}},
		"move":                   &Queue{Session: "chat-1", ID: "c-7f:16", Do: QueueMove, Of: QueueRef{User: "bob", ID: "c-9a:3"}},
		"stop of an answer":      &Stop{Session: "chat-1", ID: "c-7f:13", Answers: 805},
		"answer":                 &Answer{Session: "chat-1", ID: "c-7f:14", Request: 812, Data: json.RawMessage(`{"ok":true}`)},
		"signal from client":     &Signal{Session: "chat-1", Data: json.RawMessage(`{"typing":true}`)},
		"token refresh":          &TokenRefresh{Token: "new.tok.en"},
		"ping from client":       &Ping{N: 3},
		"pong from client":       &Pong{N: 4},
		"bye from client":        &Bye{},
		"hello of a window": &Hello{Version: 1, Token: "t", Client: "c", Gen: 1, Act: holdfast.ActOpen, Device: "d-1", Name: "Anna's phone", Windows: true,
			Subs: []Sub{{Session: "chat-1", Act: holdfast.ActOpen, Watch: true}}},
		"take of a claim":     &Take{Gen: 8, Act: holdfast.ActClaim},
		"sub that claims":     &Sub{Session: "chat-1", Last: 15, Act: holdfast.ActClaim},
		"claim":               &Claim{},
		"read":                &Read{Session: "chat-1", Epoch: epoch, Offset: 812, Got: 815},
		"read of nothing yet": &Read{Session: "chat-1", Epoch: epoch, Got: 3},
		"unknown from client": &Unknown{Type: "teleport"},
	}
}

func entryFrames() map[string]ServerFrame {
	human := holdfast.Sender{User: "anna", Client: "c-7f"}
	entry := func(e holdfast.Entry, first holdfast.Epoch) *EntryFrame {
		e.At = at
		return &EntryFrame{Session: "chat-1", Epoch: first, Entry: e}
	}
	return map[string]ServerFrame{
		"first message": entry(holdfast.Entry{Offset: 1, First: 1, Tag: 17, Kind: holdfast.KindMessage, ID: "c-7f:1", From: human,
			Data: json.RawMessage(`{"text":"hi"}`)}, epoch),
		"message of the backend": entry(holdfast.Entry{Offset: 2, First: 2, Tag: 4294967295, Kind: holdfast.KindMessage,
			Data: json.RawMessage(`"plain"`)}, ""),
		"state over a hole": entry(holdfast.Entry{Offset: 9, First: 5, Tag: 18, Kind: holdfast.KindState, Key: "progress",
			Data: json.RawMessage(`{"done":3,"total":9}`)}, ""),
		"state of what waits": entry(holdfast.Entry{Offset: 814, First: 811, Tag: 77, Kind: holdfast.KindState, Key: holdfast.TurnsKey,
			Data: json.RawMessage(`{"policy":"queue","turn":805,"queue":[{"id":"c-7f:14","u":"anna","c":"c-7f","at":1790000000000,"data":{"text":"and then?"}}],"out":[{"id":"c-7f:13","u":"anna","state":"withdrawn","by":"bob"}]}`)}, ""),
		"event": entry(holdfast.Entry{Offset: 10, First: 10, Tag: 19, Kind: holdfast.KindEvent, Data: json.RawMessage(`null`)}, ""),
		"event of a stop": entry(holdfast.Entry{Offset: 807, First: 807, Tag: 22, Kind: holdfast.KindEvent, ID: "c-7f:13", From: human,
			Data: json.RawMessage(`{"stop":{"id":"c-7f:13","run":806,"answers":805,"state":"requested","u":"anna","c":"c-7f"}}`)}, ""),
		"event of a request": entry(holdfast.Entry{Offset: 812, First: 812, Tag: 24, Kind: holdfast.KindEvent, ID: "deploy-1",
			Data: json.RawMessage(`{"request":{"id":"deploy-1","state":"open","run":806,"to":["anna"],"by":1790000300000,"default":false,"data":{"text":"go on?"}}}`)}, ""),
		"event of an answer": entry(holdfast.Entry{Offset: 815, First: 815, Tag: 25, Kind: holdfast.KindEvent, ID: "c-7f:14", From: human,
			Data: json.RawMessage(`{"request":{"o":812,"id":"deploy-1","state":"answered","u":"anna","c":"c-7f","data":true}}`)}, ""),
		"run to be stopped": entry(holdfast.Entry{Offset: 806, First: 806, Tag: 23, Kind: holdfast.KindRun, Run: &holdfast.Run{
			Status: holdfast.RunOpen, Fragments: 1, Tag: 5, Body: holdfast.Body{{Text: "x"}}, Answers: 805,
			Stop: holdfast.Stop{ID: "c-7f:13", From: human, State: holdfast.StopRequested}}}, ""),
		"run stopped by the backend": entry(holdfast.Entry{Offset: 806, First: 806, Tag: 23, Kind: holdfast.KindRun, Run: &holdfast.Run{
			Status: holdfast.RunStopped, End: json.RawMessage(`1`), Stop: holdfast.Stop{ID: "s", State: holdfast.StopUnreachable}}}, ""),
		"run opened": entry(holdfast.Entry{Offset: 11, First: 11, Tag: 20, Kind: holdfast.KindRun, ID: "answer-1",
			Data: json.RawMessage(`{"role":"assistant"}`), Run: &holdfast.Run{Status: holdfast.RunOpen}}, ""),
		"run in the middle": entry(holdfast.Entry{Offset: 11, First: 11, Tag: 20, Kind: holdfast.KindRun, Run: &holdfast.Run{
			Status: holdfast.RunOpen, Fragments: 4, Tag: 771,
			Body: holdfast.Body{{Part: "reasoning", Text: "Hm. "}, {Text: "Well, "}, {Part: "tool", Event: json.RawMessage(`{"call":"f"}`)}}}}, ""),
		"run ended": entry(holdfast.Entry{Offset: 11, First: 11, Tag: 20, Kind: holdfast.KindRun, Run: &holdfast.Run{
			Status: holdfast.RunComplete, Fragments: 2, Tag: 772, Body: holdfast.Body{{Text: "Grüße 👋"}},
			End: json.RawMessage(`{"tokens":2}`)}}, ""),
		"run ended empty": entry(holdfast.Entry{Offset: 12, First: 12, Tag: 21, Kind: holdfast.KindRun, Run: &holdfast.Run{
			Status: holdfast.RunInterrupted}}, ""),
		"fragment":  &FragFrame{Session: "chat-1", Run: 11, N: 5, M: 1, Tag: 773, Fragment: holdfast.Fragment{Text: " \t\"quoted\" \\ </script> \u2028"}},
		"fragments": &FragFrame{Session: "chat-1", Run: 11, N: 9, M: 4, Tag: 774, Fragment: holdfast.Fragment{Part: "reasoning", Text: "a b c d"}},
		"fragment event": &FragFrame{Session: "chat-1", Run: 11, N: 10, M: 1, Tag: 775,
			Fragment: holdfast.Fragment{Part: "tool", Event: json.RawMessage(`{"result":[1,2]}`)}},
		"end":           &EndFrame{Session: "chat-1", Run: 11, Fragments: 10, Tag: 775, Status: holdfast.RunComplete, At: at.UnixMilli(), Data: json.RawMessage(`{"tokens":10}`)},
		"end with fail": &EndFrame{Session: "chat-1", Run: 11, Fragments: 10, Tag: 775, Status: holdfast.RunFailed, At: at.UnixMilli()},
		"page": &PageAnswer{ID: "p1", Session: "chat-1", Epoch: epoch, More: true, Items: []holdfast.Entry{
			{Offset: 1, First: 1, Tag: 17, Kind: holdfast.KindMessage, At: at, Data: json.RawMessage(`1`)},
			{Offset: 2, First: 2, Tag: 18, Kind: holdfast.KindRun, At: at, Run: &holdfast.Run{
				Status: holdfast.RunComplete, Fragments: 1, Tag: 5, Body: holdfast.Body{{Text: "x"}}}}}},
		"page empty": &PageAnswer{ID: "p2", Session: "chat-1", Epoch: epoch},
	}
}

func controlFrames() map[string]ServerFrame {
	return map[string]ServerFrame{
		"welcome":                       &Welcome{Conn: "x1", User: "anna", Now: at.UnixMilli(), Exp: at.UnixMilli() + 3600e3, Beat: 10000, Rest: 25000, Max: 262144},
		"welcome for ever":              &Welcome{Conn: "x1", User: "anna", Now: at.UnixMilli(), Beat: 10000, Rest: 25000, Max: 262144},
		"welcome of an older server":    &Welcome{Conn: "x1", User: "anna", Now: at.UnixMilli(), Beat: 25000, Max: 262144},
		"ready":                         &Ready{Beat: 10000, Rest: 25000},
		"report":                        &ReportRequest{},
		"sub continuous":                &SubAnswer{Session: "chat-1", Outcome: holdfast.Continuous, Epoch: epoch, From: 813, Head: 820, More: true},
		"sub snapshot":                  &SubAnswer{Session: "chat-1", Outcome: holdfast.Snapshot, Epoch: epoch, From: 798, Head: 812, More: true},
		"sub of an unwritten session":   &SubAnswer{Session: "chat-9", Outcome: holdfast.Continuous, From: 1},
		"sub lost":                      &SubAnswer{Session: "chat-1", Outcome: holdfast.Lost, Epoch: "zzzzzzzzzz", From: 1, Head: 3},
		"sub denied":                    &SubAnswer{Session: "chat-1", Outcome: holdfast.Denied, Code: holdfast.CodeForbidden, Message: "the token does not allow reading chat-1"},
		"live":                          &Live{Session: "chat-1", Offset: 812},
		"ack":                           &Ack{Session: "chat-1", ID: "c-7f:12", Offset: 813, Tag: 55122, At: at.UnixMilli()},
		"ack of a repeat":               &Ack{Session: "chat-1", ID: "c-7f:12", Offset: 813, Tag: 55122, At: at.UnixMilli(), Duplicate: true},
		"ack of a stop":                 &Ack{Session: "chat-1", ID: "c-7f:13", Offset: 807, Tag: 22, At: at.UnixMilli(), State: string(holdfast.StopRequested)},
		"ack of an answer":              &Ack{Session: "chat-1", ID: "c-7f:14", Offset: 815, Tag: 25, At: at.UnixMilli(), State: string(holdfast.RequestAnswered)},
		"ack of an answer too late":     &Ack{Session: "chat-1", ID: "c-7f:14", Offset: 815, Tag: 25, At: at.UnixMilli(), Duplicate: true, State: string(holdfast.RequestAnswered), Lost: true, From: holdfast.Sender{User: "bob", Client: "c-9a"}},
		"ack of an answer that expired": &Ack{Session: "chat-1", ID: "c-7f:14", Offset: 815, Tag: 25, At: at.UnixMilli(), State: string(holdfast.RequestExpired), Lost: true},
		"err of a stop":                 &ErrFrame{Re: TypeStop, Session: "chat-1", ID: "c-7f:13", Code: holdfast.CodeForbidden, Message: "the token does not allow it"},
		"err of a send":                 &ErrFrame{Re: TypeSend, Session: "chat-1", ID: "c-7f:12", Code: holdfast.CodeTooLarge, Message: "data has 300000 bytes"},
		"err with after":                &ErrFrame{Re: TypeSend, Session: "chat-1", ID: "c-7f:12", Code: holdfast.CodeRateLimited, Message: "slow down", After: 1500},
		"signal from server":            &Signal{Session: "chat-1", Data: json.RawMessage(`{"typing":true}`), From: holdfast.Sender{User: "anna", Client: "c-7f"}},
		"move":                          &Move{Spread: 2000},
		"expiring":                      &Expiring{In: 30000},
		"token accepted":                &TokenAnswer{Exp: at.UnixMilli()},
		"ping from server":              &Ping{N: 1},
		"pong from server":              &Pong{N: 3},
		"bye":                           &Bye{Code: holdfast.CloseRestart, Reason: "restart", After: 500, Spread: 4000},
		"bye superseded":                &Bye{Code: holdfast.CloseSuperseded, Reason: "a newer connection of this client lives"},
		"unknown from server":           &Unknown{Type: "hologram"},
		"windows":                       &Windows{Mode: WindowReadOnly, Others: []Window{{Client: "c-9", Name: "Firefox", Same: true, Since: at.UnixMilli()}, {Client: "c-3"}}},
		"windows of a session":          &Windows{Session: "chat-1", Mode: WindowFull},
		"members": &Members{Session: "chat-1", All: true, Members: []Member{
			{Who: holdfast.Sender{User: "anna", Client: "c-7f"}, Name: "Anna's phone", Away: true, Since: at.UnixMilli(), Epoch: epoch, Read: 812, Got: 815},
			{Who: holdfast.Sender{User: "ben", Client: "c-9"}, Since: at.UnixMilli()}}},
		"members that left": &Members{Session: "chat-1", Left: []holdfast.Sender{{User: "ben", Client: "c-9"}}},
	}
}

// same compares frames as they are on the wire, where fragments' ends and a producer's fence are not told.
var same = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(FragFrame{}), cmpopts.IgnoreFields(holdfast.Segment{}, "Lens")}

func TestGolden(t *testing.T) {
	got := encodeAll()
	if *update {
		writeGolden(t, got)
	}
	text, err := os.ReadFile(filepath.FromSlash(goldenFile))
	if err != nil {
		t.Fatal(err)
	}
	var want []golden
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	byName := map[string]string{}
	for _, g := range want {
		byName[g.From+" "+g.Name] = string(g.Frame)
	}
	for _, g := range got {
		t.Run(g.From+" "+g.Name, func(t *testing.T) {
			if diff := cmp.Diff(byName[g.From+" "+g.Name], string(g.Frame)); diff != "" {
				t.Errorf("encoding differs from %s (run with -update if that is meant):\n%s", goldenFile, diff)
			}
		})
	}
	if len(want) != len(got) {
		t.Errorf("%s has %d frames, want %d", goldenFile, len(want), len(got))
	}
}

func TestDecodeIsInverseOfEncode(t *testing.T) {
	for name, f := range clientFrames() {
		t.Run("client "+name, func(t *testing.T) {
			got, err := DecodeClient(AppendClient(nil, f))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f, got, same); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, frames := range []map[string]ServerFrame{entryFrames(), controlFrames()} {
		for name, f := range frames {
			t.Run("server "+name, func(t *testing.T) {
				got, err := DecodeServer(Append(nil, f))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(f, got, same); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
