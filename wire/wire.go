// Package wire is Holdfast's native protocol, version 1: what a client and a server say to each other over one
// connection. This file is all of it, with the frames about other connections in crowd.go; a stranger can implement either side from here and from testdata/golden.json.
//
// # Carriage
//
// Every frame is one JSON object (RFC 8259) in one text message, at most [Limits] large. Its member t names its type.
// A receiver skips frames of types and members that it does not know, so both sides may learn new ones. Over WebSocket
// the path is /v1/ws/<n>, with any n: a client varies it from dial to dial, because browsers delay repeated dials of one
// URL after failures. The subprotocol, if one is offered, is "holdfast.v1". The first message may come with the dial itself,
// which saves a round trip: as a further subprotocol "hello." and the message in base64url without padding (RFC 4648 §5).
// It is never the one chosen.
//
// # Flow
//
//	client                                server
//	hello (token, client, gen, subs) -->
//	                                 <--  welcome
//	                                 <--  per session: sub (the outcome), what follows its cursor, live (caught up)
//	send (id, data)                  -->
//	                                 <--  entry (to every reader), ack (to the sender), in either order
//	                                 <--  run, frag, frag ..., end
//	stop (id, run)                   -->
//	                                 <--  entry (the event, to every reader), ack; later end, and entry with the outcome
//	ping / pong, both ways, when nothing else was sent for a while
//	bye                              -->  or the other way round
//
// hello comes first and once, within 10 seconds. It authenticates and resumes all sessions: one round trip.
//
// # Standby
//
// A client that doubts its connection dials a second one beside it, and gives up neither before it knows:
//
//	hello (mode standby)             -->
//	                                 <--  ready
//	take (gen, subs)                 -->
//	                                 <--  welcome, and all that follows a hello
//
// A standby connection is verified and nothing else: it reads no session, and the client's other connection lives on. take
// does what a plain hello with its gen and subs does, the end of the other connection included. Before take only ping,
// pong, token and bye may come. A standby that is not taken within the time for hello is closed with 4400.
//
// The same is how a client changes servers without a gap. A server that is about to leave, and knows that another one takes
// its place, says move: a client then dials a second connection, which the other server answers, within the time that move
// says, and has it stand by. The first serves on until its bye; then take, on the second.
//
// # Beats
//
// A side that has said nothing for one beat pings. A server takes a client that it has heard nothing of for 2.5 beats for
// gone; a client may expect to hear something every 1.2 beats. There are two beats: one while the client's page is seen, and
// a longer one, rest, while it is hidden, as hidden in hello and take and later view frames say.
//
// # Over HTTP
//
// Where WebSockets do not pass, the same frames go over plain requests, below the path of the WebSocket, and each request
// carries all it needs. Bodies are sent as text/plain, so that a browser asks for no permission first.
//
//	POST <n>/events   body: hello. Answer: text/event-stream, each frame an event "data: <frame>". A connection like any
//	                  other, but that the server cannot hear it: it pings, and expects nothing.
//	POST <n>/poll     body: hello, perhaps with wait. Answer: NDJSON, complete when there was something besides welcome,
//	                  sub with outcome continuous, live, windows, members and ping, or when wait is over. The next poll has gen + 1 and the
//	                  cursors come to.
//	POST send         body: NDJSON; a hello of mode aside, then up to [MaxAside] frames of the types send, stop, answer,
//	                  queue, signal, page, read, token and bye. Answer: NDJSON; ready, then what answers each. It touches no connection.
//	GET  ready        204, or 503 with Retry-After: whether dialing is of use.
//	POST report       the client's log, as JSON.
//
// # Positions
//
// In a session, entries stand at offsets o = 1, 2, 3 ... Each carries a tag g. A run is an entry that grows: its fragments
// are numbered n = 1, 2, 3 ..., and h is a tag over all fragments up to n. A client keeps, for each session, the epoch e,
// the highest o it has with its g, and for each open run its o, n and h. That is its cursor:
//
//	{"e":"<epoch>","o":812,"g":1871934,"r":[[806,40,99213]]}    r: [run offset, fragment, h] of each open run
//
// A session that has never been written to has the epoch "" and offset 0. Its first entry, and every entry at the first
// offset of a new epoch, carries e.
//
// # Applying what comes
//
// An entry frame covers the offsets f to o (f is left out when equal to o: nothing was compacted away before it). With
// have = the highest offset the client has come to: o <= have is a repeat, to be skipped; f > have+1 is a hole, which a
// correct server never sends: subscribe again with the cursor. A frag frame covers the fragments n-m+1 to n (m is left out
// when 1) of the run at o, likewise. In a sub with outcome snapshot or lost, the client drops what it held of the
// session, and have becomes from-1. Open runs, open requests and the latest states that stand before from come then too, since they
// still matter: an entry or run below from whose offset the client does not hold is new to it, and leaves have as it is.
// A sub may come at any time and means the same each time: the session was answered anew.
//
// # Stops
//
// A client whose token grants it stops a run, or the answer to a message, which may not have begun. What becomes of the stop
// is told to all readers by entries of kind event, whose data is
//
//	{"stop":{"id":"c-7f:13","run":806,"answers":805,"state":"requested","u":"anna","c":"c-7f"}}
//
// first with state requested, or too_late if the run had ended, and later with the outcome: stopped (by the run's producer),
// too_late (the producer ended the run in another way) or unreachable (the producer was not heard of in time, and the server
// ended the run as stopped; or no run came). id, u and c are of the stop and its author; the later entry's own author is the
// server. run is left out while there is none, answers where the run answers nothing. A run frame says how its stop stands.
// From requested on no fragments are appended to the run. There is one stop of a run: asking again by another id is acked
// with the first one's place and state.
//
// # Requests
//
// The backend asks people by requests: an approval, or a tool that runs in the page. All readers are told by an entry of kind event,
// whose offset names the request, and by another one when it is settled, which happens once:
//
//	{"request":{"id":"deploy-1","state":"open","run":806,"to":["anna"],"by":1790000300000,"default":false,"data":{"text":"go on?"}}}
//	{"request":{"o":812,"id":"deploy-1","state":"answered","u":"anna","c":"c-7f","data":true}}
//
// The states that settle it are answered (u and c say by whom, data what), expired (nobody answered until by, a time of the server
// in Unix ms, and data is its default) and withdrawn (the backend needs no answer any more, or its run has ended). run, outlives (it
// stays open when its run ends), to (who may answer; left out: everybody whose token lets them send), default and data are left out
// where empty. A client whose token grants sending answers; the first answer counts, and whoever else answers is acked with
// its place and state.
//
// # Turns
//
// Where the application lets users take turns (docs/turns.md), a message that is sent while an answer is under way may have to
// wait, and is no entry yet. Its ack has "state":"queued", and its o is that of a state that shows what waits, to all readers. It
// is written again with each change of the queue:
//
//	{"t":"entry",…,"k":"state","key":"holdfast:turns","data":{"policy":"queue","turn":805,
//	 "queue":[{"id":"c-7f:14","u":"anna","c":"c-7f","at":1790000000000,"data":{"text":"and then?"}}],
//	 "out":[{"id":"c-7f:13","u":"anna","state":"withdrawn","by":"bob"}]}}
//
// turn is the message whose answer the queue waits for; null where it waits for something else, or nothing waits. out, left out
// where empty, is what left the queue with this change without becoming an entry: withdrawn, or replaced by a later message of its
// sender. What has its turn becomes an entry like any other, with the id that it was sent with. A repeated send is acked with
// where the message is: as queued, withdrawn or replaced, or, once it is an entry, without a state.
//
// Keys of states, and ids, that begin with holdfast: are the server's: a send, stop, answer or queue with such an id is invalid.
//
// # Windows
//
// A server may have rules on how many connections of one user live at a time. act, in hello, take and sub, says what the user has
// just done to make the client connect, or read the session: open (the page, or the session) or claim (he was told that it is
// in use elsewhere, and wants it here). What a client does by itself, such as coming back after an outage, is no act, and has none.
// Nobody is ever turned out without one. What comes of a conflict is told by a windows frame, whose mode says how this
// connection stands:
//
//	full        it has its place. Told after another mode, and to clients that asked in hello to be told of their user's others
//	read_only   it reads, and what it would change is refused with forbidden. claim gives it the place of another one
//	elsewhere   its place is another's now, or was when it came back: bye with 4506 follows
//	ask         its user is to say whether to go on here: bye with 4506 follows
//	limit       there is no place, whatever the user does: bye with 4507 follows
//
// After 4506, a hello with the act claim takes the place. With s, the frame is about one session, and instead of bye there
// is a sub with outcome denied and code conflict; a sub with the act claim takes the place. others are the user's other
// connections, 16 at most: their client, what the client calls itself (name), whether it is on the same device (same), since when.
//
// # Presence
//
// A sub with watch is followed by a members frame with all: who reads the session, each client by itself; and from then on by
// frames of what changes: members are new or changed, left are gone. A client that loses its connection is missing from
// the 15th second on, one that says bye from the 2nd. away: nobody looks at it, as its view frames and bye say, or it has
// sent nothing but pings and pongs for 60 seconds. A read frame says how far its user has read (o) and how far it has shown (got);
// neither ever moves back within an epoch.
//
// # Ends
//
// A connection ends with bye and a close code (holdfast.CloseCode); the code's range says whether to come back. After
// may say when: wait after ms plus a random part of spread ms.
package wire

import (
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast"
)

// Version is the version of the protocol, the v of hello and welcome.
const Version = 1

// Limits of the protocol itself. A server may allow less and says so in welcome.
const (
	// MaxMessage is how large one message may be, in bytes, from either side, but for pages with large runs in them.
	MaxMessage = 1 << 20
	// MaxSubs is how many sessions one connection may read at a time.
	MaxSubs = 256
	// MaxCursorRuns is how many open runs one cursor may name.
	MaxCursorRuns = 256
	// MaxPage is how many entries one page may ask for.
	MaxPage = 200
	// MaxLast is how many entries a subscription may ask for.
	MaxLast = 1000
	// MaxRollup is for how long texts are held back at most, in ms.
	MaxRollup = int(holdfast.MaxRollup / time.Millisecond)
	// MaxAside is how many frames one request may send besides its hello.
	MaxAside = 64
	// MaxWait is how long a poll may wait, in ms, and DefaultWait how long one waits that does not say.
	MaxWait, DefaultWait = 25_000, 20_000
)

// Type is the member t of a frame.
type Type string

// Frames that a client sends.
const (
	TypeHello  Type = "hello"  // first, once: who I am and what I read
	TypeTake   Type = "take"   // this standby is my connection now; answered as a hello is
	TypeView   Type = "view"   // my page is hidden, or seen again; not answered
	TypeSub    Type = "sub"    // read a session, or move its cursor: an upsert; answered by sub, unless the next one comes first
	TypeUnsub  Type = "unsub"  // stop reading a session; not answered
	TypePage   Type = "page"   // give me older or newer entries; answered by page or err
	TypeSend   Type = "send"   // append a message; answered by ack or err with the same id
	TypeStop   Type = "stop"   // stop a run, or the answer to a message; answered by ack or err with the same id
	TypeAnswer Type = "answer" // answer a request; answered by ack or err with the same id
	TypeQueue  Type = "queue"  // withdraw or move a message that waits; answered by ack or err with the same id
	TypeSignal Type = "signal" // tell the other readers, not the log; answered only by err
	TypeToken  Type = "token"  // here is a fresh token; answered by token or err
	TypePing   Type = "ping"   // are you there; answered by pong with the same n
	TypePong   Type = "pong"
	TypeBye    Type = "bye"   // I am leaving, perhaps to park
	TypeClaim  Type = "claim" // I read only; my user wants to go on here. Answered by windows, or err
	TypeRead   Type = "read"  // how far my user has read; not answered
)

// Frames that only a server sends. It also sends sub, page, signal, token, ping, pong and bye.
const (
	TypeWelcome  Type = "welcome"  // the answer to hello and take
	TypeReady    Type = "ready"    // the answer to a hello that attaches nothing
	TypeEntry    Type = "entry"    // a message, state or event
	TypeRun      Type = "run"      // a run, as it stands: just opened, in the middle, or ended
	TypeFrag     Type = "frag"     // fragments of a run, merged where they can be
	TypeEnd      Type = "end"      // a run's end
	TypeLive     Type = "live"     // caught up: what was there when you asked has been sent
	TypeAck      Type = "ack"      // your send is durable, and this is where it stands
	TypeErr      Type = "err"      // what you asked for is refused; the connection lives on
	TypeExpiring Type = "expiring" // your token expires soon; send a fresh one
	TypeMove     Type = "move"     // this server is about to leave; have another connection stand by
	TypeReport   Type = "report"   // please send your log
	TypeWindows  Type = "windows"  // how you stand beside your user's other connections
	TypeMembers  Type = "members"  // who is there, or what has changed about that
)

// Mode says what a hello is for.
type Mode string

// Modes of a hello.
const (
	// ModeAttach makes the connection the client's, and resumes its sessions.
	ModeAttach Mode = ""
	// ModeStandby verifies the client and waits for [Take]. Gen and Subs do not count.
	ModeStandby Mode = "standby"
	// ModeAside verifies the client for the frames that come with it in one request. Gen and Subs do not count.
	ModeAside Mode = "aside"
)

// Hello is {"t":"hello","v":1,"token":"...","client":"...","gen":7,"agent":"...","mode":"standby","hidden":true,"wait":20000,
// "act":"open","device":"...","name":"...","windows":true,"subs":[...]}. agent and all that follow it but subs are left out where
// empty.
type Hello struct {
	Version int
	Token   string
	// Client is stable per device or tab; Gen grows with each of its dials. Of two connections of one client the one
	// with the higher Gen lives, the other is closed at once with [holdfast.CloseSuperseded].
	Client holdfast.ClientID
	Gen    holdfast.Generation
	// Agent names the client's software, for the server's log.
	Agent string
	Mode  Mode
	// Hidden: nobody sees the page.
	Hidden bool
	// Wait is how long a poll waits at most, in ms. 0 is [DefaultWait].
	Wait int64
	// Act is what the user has done.
	Act holdfast.Act
	// Device is the same for all clients of a device, and Name what its user calls it; 64 bytes at most. Other windows of the user,
	// and those who watch a session's members, are shown the name.
	Device, Name string
	// Windows: tell me of my user's other connections.
	Windows bool
	Subs    []Sub
}

// Take is {"t":"take","gen":8,"hidden":true,"act":"open","subs":[...]}: gen, hidden, act and subs are as in a plain hello.
type Take struct {
	Gen    holdfast.Generation
	Hidden bool
	Act    holdfast.Act
	Subs   []Sub
}

// View is {"t":"view","hidden":true}.
type View struct{ Hidden bool }

// Sub is {"t":"sub","s":"...","last":15,"rollup":100,"cur":{...},"act":"open","watch":true}; inside hello without t. With a cursor, what
// follows it is sent if the log still has it. Without one, or if not, the last Last entries are (0: the server's default, 50).
type Sub struct {
	Session holdfast.SessionID
	Last    int
	// Cursor is nil for none.
	Cursor *holdfast.Cursor
	// Rollup is for how long, in ms, texts of runs may be held back to come in fewer and larger frames; 0 for not at all. All else comes at
	// once, and brings with it what was held back before it. At most [MaxRollup]; more means that.
	Rollup int
	// Act is what the user has done; it counts where a rule is of single sessions.
	Act holdfast.Act
	// Watch: tell me who else is there.
	Watch bool
}

// Unsub is {"t":"unsub","s":"..."}.
type Unsub struct{ Session holdfast.SessionID }

// PageRequest is {"t":"page","id":"p1","s":"...","before":798,"limit":50}, or after instead of before. Before 0 with after 0
// reads the newest.
type PageRequest struct {
	ID            string
	Session       holdfast.SessionID
	Before, After holdfast.Offset
	Limit         int
}

// Send is {"t":"send","s":"...","id":"...","first":true,"data":...}. The id makes it idempotent, for the same user, for as long as the
// log lives: repeat it until it is acked. first may be set where nothing that the client sent to the session before is still without
// an answer.
type Send struct {
	Session holdfast.SessionID
	ID      string
	Data    json.RawMessage
	First   bool
}

// Stop is {"t":"stop","s":"...","id":"...","run":806}, or "answers":805 instead of run: the latest open run that answers that
// message, else the latest that did, else the next that will. The id is of one kind with those of send, and makes it
// idempotent: repeat it until it is acked.
type Stop struct {
	Session      holdfast.SessionID
	ID           string
	Run, Answers holdfast.Offset
}

// Answer is {"t":"answer","s":"...","id":"...","request":812,"data":...}. The id is of one kind with those of send, and makes it
// idempotent: repeat it until it is acked.
type Answer struct {
	Session holdfast.SessionID
	ID      string
	Request holdfast.Offset
	Data    json.RawMessage
}

// Queue is {"t":"queue","s":"...","id":"...","do":"move","of":{"u":"anna","id":"c-7f:14"},"to":0}, or with do withdraw and without
// to. of is the message, and who sent it; u is left out for one's own. to is the place to move to, counted from 0; past the end is the end.
// One's own messages are edited with the right to send, those of others with the right to stop. The id is of one kind with
// those of send, and makes it idempotent: repeat it until it is acked.
type Queue struct {
	Session holdfast.SessionID
	ID      string
	Do      QueueEdit
	Of      QueueRef
	To      int
}

// QueueEdit is what a [Queue] does.
type QueueEdit string

// The edits, a closed set.
const (
	QueueWithdraw QueueEdit = "withdraw"
	QueueMove     QueueEdit = "move"
)

// QueueRef names a message that waits, by its sender's user and id.
type QueueRef struct {
	User holdfast.UserID `json:"u"`
	ID   string          `json:"id"`
}

// Signal is {"t":"signal","s":"...","data":...}; from the server with u and c, the sender's user and client. It reaches
// whoever is connected now.
type Signal struct {
	Session holdfast.SessionID
	Data    json.RawMessage
	// From is set by the server.
	From holdfast.Sender
}

// TokenRefresh is {"t":"token","token":"..."}.
type TokenRefresh struct{ Token string }

// Ping is {"t":"ping","n":1}.
type Ping struct{ N uint64 }

// Pong is {"t":"pong","n":1}.
type Pong struct{ N uint64 }

// Claim is {"t":"claim"}: a connection that reads only wants the place of another one.
type Claim struct{}

// Read is {"t":"read","s":"...","e":"...","o":812,"got":815}: the user has read all up to o, and the client has shown all up to got.
// Either may be 0, for nothing to say. e is the epoch that they are of.
type Read struct {
	Session     holdfast.SessionID
	Epoch       holdfast.Epoch
	Offset, Got holdfast.Offset
}

// Bye from a client is {"t":"bye","park":true}; from a server {"t":"bye","code":1012,"reason":"restart","after":500,"spread":4000},
// followed by the transport's close with the same code. Times are in milliseconds.
type Bye struct {
	Code          holdfast.CloseCode
	Reason        string
	After, Spread int64
	// Park: the page goes to sleep on purpose, and will be back.
	Park bool
}

// Unknown is a frame of a type that this version does not know. It is skipped.
type Unknown struct{ Type Type }

// Welcome is {"t":"welcome","v":1,"conn":"...","user":"...","now":1790000000000,"beat":10000,"rest":25000,"exp":1790003600000,"max":262144}.
// Times are Unix milliseconds. Beat and Rest are the beats of a client that is seen and of one that is hidden, in ms; an older
// server sends no rest, which is then beat. Exp is left out for a token that does not expire; max is the largest data of
// a send, in bytes.
type Welcome struct {
	Conn            holdfast.ConnID
	User            holdfast.UserID
	Now, Exp        int64
	Beat, Rest, Max int64
}

// Ready is {"t":"ready","beat":10000,"rest":25000}: the client is verified, and nothing is attached.
type Ready struct{ Beat, Rest int64 }

// ReportRequest is {"t":"report"}.
type ReportRequest struct{}

// SubAnswer is {"t":"sub","s":"...","outcome":"snapshot","e":"...","from":798,"head":812,"more":true}. With outcome denied it has only
// code and msg besides s. From is the first offset of what follows (runs and states that stand before it come too); head
// is the last one now; more says that there are entries before from to page back to.
type SubAnswer struct {
	Session    holdfast.SessionID
	Outcome    holdfast.Outcome
	Epoch      holdfast.Epoch
	From, Head holdfast.Offset
	More       bool
	// Code and Message are set with Denied.
	Code    holdfast.Code
	Message string
}

// Live is {"t":"live","s":"...","o":812}: everything up to o, which was the head, has been sent.
type Live struct {
	Session holdfast.SessionID
	Offset  holdfast.Offset
}

// EntryFrame is {"t":"entry","s":"...","o":812,"f":810,"e":"...","g":1871934,"k":"message","id":"...","u":"...","c":"...","at":1790000000000,
// "key":"...","data":...} for a message, state or event. f, e, id, u, c and key are left out where empty (f where equal to o).
//
// For a run it is {"t":"run","s":"...","o":806,...,"status":"open","n":40,"h":99213,"body":[...],"end":...}, without k and key; data
// is what it was opened with. An element of body is {"p":"part","d":"text"} or {"p":"part","v":event}; p is left out where
// empty. end is left out where empty. "answers":805 is there if the run answers the message at that offset, and
// "stop":{"id":"...","u":"...","c":"...","state":"requested"} if it has a stop; u and c are left out where empty. A large run is sent as it was when it was opened, and then frag and end frames.
type EntryFrame struct {
	Session holdfast.SessionID
	// Epoch is set in the first entry of an epoch only.
	Epoch holdfast.Epoch
	Entry holdfast.Entry
}

// FragFrame is {"t":"frag","s":"...","o":806,"n":41,"m":1,"h":5512,"p":"part","d":"text"}, or with "v":event instead of d. It covers the
// fragments n-m+1 to n; texts of several are joined. m is left out where 1.
type FragFrame struct {
	Session holdfast.SessionID
	Run     holdfast.Offset
	N       holdfast.FragmentNo
	// M is how many fragments the frame covers, at least 1.
	M        holdfast.FragmentNo
	Tag      holdfast.Tag
	Fragment holdfast.Fragment

	text []byte // while texts are being joined
}

// EndFrame is {"t":"end","s":"...","o":806,"n":300,"h":77123,"status":"complete","at":1790000000000,"data":...}. data is left out where
// empty; at is there when the end is news, and left out when it is read from the log later.
type EndFrame struct {
	Session   holdfast.SessionID
	Run       holdfast.Offset
	Fragments holdfast.FragmentNo
	Tag       holdfast.Tag
	Status    holdfast.RunStatus
	At        int64
	Data      json.RawMessage
}

// PageAnswer is {"t":"page","id":"p1","s":"...","e":"...","items":[...],"more":true}. items are entry and run frames without s, by
// offset; more says that there are further ones in the direction asked for.
type PageAnswer struct {
	ID      string
	Session holdfast.SessionID
	Epoch   holdfast.Epoch
	Items   []holdfast.Entry
	More    bool
}

// Ack is {"t":"ack","s":"...","id":"...","o":813,"g":55122,"at":1790000000000,"dup":true}. dup is left out unless the message had been
// written before; o is then where. For a stop, o is where the event stands that told of it first, and "state":"requested" says
// how it stands now. For an answer, o is where the event stands that settled the request, and state is how; "lost":true says that it
// was not this answer, and u and c then whose it was, left out where nobody's.
type Ack struct {
	Session   holdfast.SessionID
	ID        string
	Offset    holdfast.Offset
	Tag       holdfast.Tag
	At        int64
	Duplicate bool
	// State is set in the acks of stops, a [holdfast.StopState], of answers, a [holdfast.RequestState], and of queue frames and of
	// sends that are no entry, a [holdfast.TurnState].
	State string
	// Lost and From are set in the ack of an answer that does not count.
	Lost bool
	From holdfast.Sender
}

// ErrFrame is {"t":"err","re":"send","s":"...","id":"...","code":"forbidden","msg":"...","after":1000}. re is the type of the frame that
// is refused; s and id are those of the refused frame. after, in ms, is there with rate_limited and unavailable: repeat it then. A send that
// is refused over a limit, behind a full queue, or as unavailable, is waited for: what comes after it for the session is refused too, until it
// comes again, or one with first, or nothing has come for 5 s, at most for 30 s, so that messages keep their order.
type ErrFrame struct {
	Re      Type
	Session holdfast.SessionID
	ID      string
	Code    holdfast.Code
	Message string
	After   int64
}

// Expiring is {"t":"expiring","in":30000}: the token expires in so many ms.
type Expiring struct{ In int64 }

// Move is {"t":"move","spread":2000}: within so many ms, each client at a time of its own.
type Move struct{ Spread int64 }

// TokenAnswer is {"t":"token","exp":1790003600000}; exp is left out for a token that does not expire.
type TokenAnswer struct{ Exp int64 }

// ClientFrame is what a client sends: *Hello, *Take, *View, *Sub, *Unsub, *PageRequest, *Send, *Stop, *Answer, *Queue, *Signal, *TokenRefresh,
// *Ping, *Pong, *Claim, *Read, *Bye or *Unknown.
type ClientFrame interface{ clientFrame() }

func (*Hello) clientFrame()        {}
func (*Take) clientFrame()         {}
func (*View) clientFrame()         {}
func (*Sub) clientFrame()          {}
func (*Unsub) clientFrame()        {}
func (*PageRequest) clientFrame()  {}
func (*Send) clientFrame()         {}
func (*Stop) clientFrame()         {}
func (*Answer) clientFrame()       {}
func (*Queue) clientFrame()        {}
func (*Signal) clientFrame()       {}
func (*TokenRefresh) clientFrame() {}
func (*Ping) clientFrame()         {}
func (*Pong) clientFrame()         {}
func (*Bye) clientFrame()          {}
func (*Claim) clientFrame()        {}
func (*Read) clientFrame()         {}
func (*Unknown) clientFrame()      {}

// ServerFrame is what a server sends: *Welcome, *Ready, *SubAnswer, *EntryFrame, *FragFrame, *EndFrame, *Live, *PageAnswer,
// *Ack, *ErrFrame, *Signal, *Expiring, *Move, *TokenAnswer, *ReportRequest, *Windows, *Members, *Ping, *Pong, *Bye or *Unknown.
type ServerFrame interface{ serverFrame() }

func (*Welcome) serverFrame()       {}
func (*Ready) serverFrame()         {}
func (*ReportRequest) serverFrame() {}
func (*Windows) serverFrame()       {}
func (*Members) serverFrame()       {}
func (*SubAnswer) serverFrame()     {}
func (*EntryFrame) serverFrame()    {}
func (*FragFrame) serverFrame()     {}
func (*EndFrame) serverFrame()      {}
func (*Live) serverFrame()          {}
func (*PageAnswer) serverFrame()    {}
func (*Ack) serverFrame()           {}
func (*ErrFrame) serverFrame()      {}
func (*Signal) serverFrame()        {}
func (*Expiring) serverFrame()      {}
func (*Move) serverFrame()          {}
func (*TokenAnswer) serverFrame()   {}
func (*Ping) serverFrame()          {}
func (*Pong) serverFrame()          {}
func (*Bye) serverFrame()           {}
func (*Unknown) serverFrame()       {}
