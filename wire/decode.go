package wire

import (
	stdjson "encoding/json"
	"errors"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
)

// members holds every member that any frame may have; each frame picks its own. One pass over the text decodes it.
// Members that are not here are skipped, so that the other side may be newer.
type members struct {
	T Type `json:"t"`

	// V is the version in hello and welcome, and an event in frag.
	V jsontext.Value `json:"v"`

	Session holdfast.SessionID `json:"s"`
	ID      string             `json:"id"`
	Data    jsontext.Value     `json:"data"`
	N       uint64             `json:"n"`
	Offset  holdfast.Offset    `json:"o"`
	Tag     holdfast.Tag       `json:"g"`
	Epoch   holdfast.Epoch     `json:"e"`
	At      int64              `json:"at"`
	More    bool               `json:"more"`

	Hello helloMembers `json:",embed"`
	Sub   subMembers   `json:",embed"`
	Entry entryMembers `json:",embed"`
	End   endMembers   `json:",embed"`
	Stop  stopMembers  `json:",embed"`

	// windows, members and read, and what hello says for them
	Crowd crowdMembers `json:",embed"`

	// page
	Before holdfast.Offset  `json:"before"`
	After  int64            `json:"after"`
	Limit  int              `json:"limit"`
	Items  []jsontext.Value `json:"items"`

	// sub (answer)
	Outcome holdfast.Outcome `json:"outcome"`
	From    holdfast.Offset  `json:"from"`
	Head    holdfast.Offset  `json:"head"`

	First     bool  `json:"first"` // send
	Duplicate bool  `json:"dup"`
	Re        Type  `json:"re"`
	In        int64 `json:"in"`
}

// helloMembers are those of hello, take, view, token, ready and welcome.
type helloMembers struct {
	Token  string              `json:"token"`
	Client holdfast.ClientID   `json:"client"`
	Gen    holdfast.Generation `json:"gen"`
	Agent  string              `json:"agent"`
	Mode   Mode                `json:"mode"`
	Hidden bool                `json:"hidden"`
	Wait   int64               `json:"wait"`
	Subs   []subItem           `json:"subs"`
	Conn   holdfast.ConnID     `json:"conn"`
	User   holdfast.UserID     `json:"user"`
	Now    int64               `json:"now"`
	Exp    int64               `json:"exp"`
	Beat   int64               `json:"beat"`
	Rest   int64               `json:"rest"`
	Max    int64               `json:"max"`
}

// subMembers are those of a subscription, in sub and inside hello, besides s.
type subMembers struct {
	Last   int           `json:"last"`
	Rollup int           `json:"rollup"`
	Cursor *cursorObject `json:"cur"`
	Act    holdfast.Act  `json:"act"` // in hello and take too
	Watch  bool          `json:"watch"`
}

type subItem struct {
	Session holdfast.SessionID `json:"s"`
	Sub     subMembers         `json:",embed"`
}

type cursorObject struct {
	Epoch  holdfast.Epoch  `json:"e"`
	Offset holdfast.Offset `json:"o"`
	Tag    holdfast.Tag    `json:"g"`
	Runs   [][3]uint64     `json:"r"`
}

// entryMembers are those of entry, run and frag.
type entryMembers struct {
	First     holdfast.Offset     `json:"f"`
	Kind      holdfast.Kind       `json:"k"`
	User      holdfast.UserID     `json:"u"`
	Client    holdfast.ClientID   `json:"c"`
	Key       string              `json:"key"`
	Status    holdfast.RunStatus  `json:"status"`
	Chain     holdfast.Tag        `json:"h"`
	Merged    holdfast.FragmentNo `json:"m"`
	Part      string              `json:"p"`
	Text      string              `json:"d"`
	Body      []segment           `json:"body"`
	RunResult jsontext.Value      `json:"end"`
}

type segment struct {
	Part  string         `json:"p"`
	Text  string         `json:"d"`
	Event jsontext.Value `json:"v"`
}

// endMembers are those of bye and err.
type endMembers struct {
	Code    jsontext.Value `json:"code"` // a number in bye, a string elsewhere
	Reason  string         `json:"reason"`
	Spread  int64          `json:"spread"`
	Message string         `json:"msg"`
	Park    bool           `json:"park"`
}

// stopMembers are those of stop, answer and queue, and what they add to run and ack.
type stopMembers struct {
	Run     holdfast.Offset `json:"run"`
	Answers holdfast.Offset `json:"answers"`
	State   string          `json:"state"`
	Stop    *stopObject     `json:"stop"`
	Request holdfast.Offset `json:"request"`
	Lost    bool            `json:"lost"`
	Do      QueueEdit       `json:"do"`
	Of      QueueRef        `json:"of"`
	To      int             `json:"to"`
}

type stopObject struct {
	ID     string             `json:"id"`
	User   holdfast.UserID    `json:"u"`
	Client holdfast.ClientID  `json:"c"`
	State  holdfast.StopState `json:"state"`
}

// spare holds members that are not in use, empty. They are large; thousands of connections that do nothing but ping would
// fill the memory with them.
var spare = sync.Pool{New: func() any { return new(members) }}

// decode reads a frame's members, which the caller frees when it has picked its own.
func decode(msg []byte) (*members, error) {
	m := spare.Get().(*members)
	err := json.Unmarshal(msg, m)
	if err == nil && m.T != "" {
		return m, nil
	}
	m.free()
	if err != nil {
		return nil, invalid(err)
	}
	return nil, holdfast.Errorf(holdfast.CodeInvalid, "a frame needs a member t that names its type")
}

// free lets go of everything that was decoded; what was picked stays as it is.
func (m *members) free() {
	*m = members{}
	spare.Put(m)
}

// invalid turns the JSON library's error into ours: where and what, without the value, which may be a token.
func invalid(err error) error {
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the frame is not valid JSON at byte %d", syn.ByteOffset)
	}
	var sem *json.SemanticError
	if errors.As(err, &sem) {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "member %s of the frame has the wrong type or is out of range",
			string(sem.JSONPointer))
	}
	return holdfast.Wrap(holdfast.CodeInvalid, err, "the frame cannot be read as JSON")
}

// DecodeClient decodes a client's frame. Frames of unknown types are *[Unknown]. Errors are [holdfast.CodeInvalid]; what is
// in a frame is checked for form only: ids, sizes and rights are the server's business. The frame does not share
// memory with msg.
func DecodeClient(msg []byte) (ClientFrame, error) {
	m, err := decode(msg)
	if err != nil {
		return nil, err
	}
	defer m.free()
	switch m.T {
	case TypeHello:
		return m.hello()
	case TypeTake:
		subs, err := m.subs()
		return &Take{m.Hello.Gen, m.Hello.Hidden, m.Sub.Act, subs}, err
	case TypeView:
		return &View{m.Hello.Hidden}, nil
	case TypeSub:
		s, err := (&subItem{m.Session, m.Sub}).sub()
		return &s, err
	case TypeUnsub:
		return &Unsub{m.Session}, nil
	case TypePage:
		return &PageRequest{m.ID, m.Session, m.Before, holdfast.Offset(max(m.After, 0)), m.Limit}, nil
	case TypeSend:
		return &Send{m.Session, m.ID, stdjson.RawMessage(m.Data), m.First}, nil
	case TypeStop:
		return &Stop{m.Session, m.ID, m.Stop.Run, m.Stop.Answers}, nil
	case TypeAnswer:
		return &Answer{m.Session, m.ID, m.Stop.Request, stdjson.RawMessage(m.Data)}, nil
	case TypeQueue:
		return &Queue{m.Session, m.ID, m.Stop.Do, m.Stop.Of, m.Stop.To}, nil
	case TypeSignal:
		return &Signal{Session: m.Session, Data: stdjson.RawMessage(m.Data)}, nil
	case TypeToken:
		return &TokenRefresh{m.Hello.Token}, nil
	case TypePing:
		return &Ping{m.N}, nil
	case TypePong:
		return &Pong{m.N}, nil
	case TypeBye:
		return &Bye{Park: m.End.Park}, nil
	case TypeClaim:
		return &Claim{}, nil
	case TypeRead:
		return &Read{m.Session, m.Epoch, m.Offset, m.Crowd.Got}, nil
	}
	return &Unknown{m.T}, nil
}

func (m *members) hello() (*Hello, error) {
	var version int
	if err := json.Unmarshal(m.V, &version); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "hello has no version v, which is a number")
	}
	subs, err := m.subs()
	return &Hello{
		Version: version, Token: m.Hello.Token, Client: m.Hello.Client, Gen: m.Hello.Gen, Agent: m.Hello.Agent,
		Mode: m.Hello.Mode, Hidden: m.Hello.Hidden, Wait: m.Hello.Wait, Act: m.Sub.Act,
		Device: m.Crowd.Device, Name: m.Crowd.Name, Windows: m.Crowd.Tell, Subs: subs,
	}, err
}

// subs are the subscriptions of a hello or take.
func (m *members) subs() ([]Sub, error) {
	if len(m.Hello.Subs) > MaxSubs {
		return nil, holdfast.Errorf(holdfast.CodeTooLarge, "%s names %d sessions, at most %d are allowed", m.T, len(m.Hello.Subs), MaxSubs)
	}
	var subs []Sub
	for i := range m.Hello.Subs {
		s, err := m.Hello.Subs[i].sub()
		if err != nil {
			return nil, err
		}
		subs = append(subs, s)
	}
	return subs, nil
}

func (i *subItem) sub() (Sub, error) {
	s := Sub{Session: i.Session, Last: i.Sub.Last, Rollup: i.Sub.Rollup, Act: i.Sub.Act, Watch: i.Sub.Watch}
	c := i.Sub.Cursor
	if c == nil {
		return s, nil
	}
	if len(c.Runs) > MaxCursorRuns {
		return s, holdfast.Errorf(holdfast.CodeTooLarge, "a cursor names %d runs, at most %d are allowed", len(c.Runs), MaxCursorRuns)
	}
	cur := holdfast.Cursor{Position: holdfast.Position{Epoch: c.Epoch, Offset: c.Offset, Tag: c.Tag}}
	for _, r := range c.Runs {
		if r[2] > 1<<32-1 {
			return s, holdfast.Errorf(holdfast.CodeInvalid, "the cursor of run %d has a tag that is none", r[0])
		}
		// With keeps them sorted and drops repeats, whatever order the client sent.
		cur = cur.With(holdfast.RunCursor{Run: holdfast.Offset(r[0]), Fragment: holdfast.FragmentNo(r[1]), Tag: holdfast.Tag(r[2])})
	}
	s.Cursor = &cur
	return s, nil
}

// DecodeServer decodes a server's frame, for clients. Frames of unknown types are *[Unknown].
func DecodeServer(msg []byte) (ServerFrame, error) {
	m, err := decode(msg)
	if err != nil {
		return nil, err
	}
	defer m.free()
	switch m.T {
	case TypeEntry, TypeRun:
		return &EntryFrame{m.Session, m.Epoch, m.entry()}, nil
	case TypeFrag:
		return m.frag(), nil
	case TypeEnd:
		return &EndFrame{m.Session, m.Offset, holdfast.FragmentNo(m.N), m.Entry.Chain, m.Entry.Status, m.At, stdjson.RawMessage(m.Data)}, nil
	case TypeWelcome:
		h := &m.Hello
		return &Welcome{Conn: h.Conn, User: h.User, Now: h.Now, Exp: h.Exp, Beat: h.Beat, Rest: h.Rest, Max: h.Max}, nil
	case TypeSub:
		return &SubAnswer{m.Session, m.Outcome, m.Epoch, m.From, m.Head, m.More, m.code(), m.End.Message}, nil
	case TypeLive:
		return &Live{m.Session, m.Offset}, nil
	case TypePage:
		return m.page()
	case TypeAck:
		return &Ack{m.Session, m.ID, m.Offset, m.Tag, m.At, m.Duplicate, m.Stop.State, m.Stop.Lost,
			holdfast.Sender{User: m.Entry.User, Client: m.Entry.Client}}, nil
	case TypeErr:
		return &ErrFrame{m.Re, m.Session, m.ID, m.code(), m.End.Message, m.After}, nil
	case TypeSignal:
		return &Signal{m.Session, stdjson.RawMessage(m.Data), holdfast.Sender{User: m.Entry.User, Client: m.Entry.Client}}, nil
	}
	return m.small()
}

func (m *members) small() (ServerFrame, error) {
	switch m.T {
	case TypeReady:
		return &Ready{m.Hello.Beat, m.Hello.Rest}, nil
	case TypeReport:
		return &ReportRequest{}, nil
	case TypeWindows:
		return m.windows(), nil
	case TypeMembers:
		return m.members(), nil
	case TypeMove:
		return &Move{m.End.Spread}, nil
	case TypeExpiring:
		return &Expiring{m.In}, nil
	case TypeToken:
		return &TokenAnswer{m.Hello.Exp}, nil
	case TypePing:
		return &Ping{m.N}, nil
	case TypePong:
		return &Pong{m.N}, nil
	case TypeBye:
		var code holdfast.CloseCode
		if err := json.Unmarshal(m.End.Code, &code); err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "bye has no code")
		}
		return &Bye{Code: code, Reason: m.End.Reason, After: m.After, Spread: m.End.Spread}, nil
	}
	return &Unknown{m.T}, nil
}

// code is the member code where it is a string.
func (m *members) code() holdfast.Code {
	var c holdfast.Code
	if json.Unmarshal(m.End.Code, &c) != nil {
		return ""
	}
	return c
}

func (m *members) entry() holdfast.Entry {
	e := holdfast.Entry{
		Offset: m.Offset, First: m.Entry.First, Tag: m.Tag, Kind: m.Entry.Kind, At: millis(m.At), ID: m.ID,
		From: holdfast.Sender{User: m.Entry.User, Client: m.Entry.Client}, Key: m.Entry.Key, Data: stdjson.RawMessage(m.Data),
	}
	if e.First == 0 {
		e.First = e.Offset
	}
	if m.T != TypeRun {
		return e
	}
	e.Kind = holdfast.KindRun
	e.Run = &holdfast.Run{
		Status: m.Entry.Status, Fragments: holdfast.FragmentNo(m.N), Tag: m.Entry.Chain, End: stdjson.RawMessage(m.Entry.RunResult),
		Answers: m.Stop.Answers,
	}
	if s := m.Stop.Stop; s != nil {
		e.Run.Stop = holdfast.Stop{ID: s.ID, From: holdfast.Sender{User: s.User, Client: s.Client}, State: s.State}
	}
	for _, s := range m.Entry.Body {
		// Where the fragments ended is not told to readers, who have no use for it.
		e.Run.Body = append(e.Run.Body, holdfast.Segment{Part: s.Part, Text: s.Text, Event: stdjson.RawMessage(s.Event)})
	}
	return e
}

func (m *members) frag() *FragFrame {
	return &FragFrame{
		Session: m.Session, Run: m.Offset, N: holdfast.FragmentNo(m.N), M: max(m.Entry.Merged, 1), Tag: m.Entry.Chain,
		Fragment: holdfast.Fragment{Part: m.Entry.Part, Text: m.Entry.Text, Event: stdjson.RawMessage(m.V)},
	}
}

func (m *members) page() (*PageAnswer, error) {
	p := &PageAnswer{ID: m.ID, Session: m.Session, Epoch: m.Epoch, More: m.More}
	for _, raw := range m.Items {
		item, err := decode(raw)
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, item.entry())
		item.free()
	}
	return p, nil
}
