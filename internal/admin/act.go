package admin

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

// An order says what an act is done to. The words are those of the HTTP API.
type order struct {
	Conn    holdfast.ConnID    `json:"conn,omitzero"`
	User    holdfast.UserID    `json:"user,omitzero"`
	Client  holdfast.ClientID  `json:"client,omitzero"`
	Session holdfast.SessionID `json:"session,omitzero"`
	Run     holdfast.Offset    `json:"run,omitzero"`

	// Token is the id of one, its claim jti; ID is a revocation's. Until is in ms since 1970.
	Token   string            `json:"token,omitzero"`
	Actions []holdfast.Action `json:"actions,omitzero"`
	Until   int64             `json:"until,omitzero"`
	Reason  string            `json:"reason,omitzero"`
	ID      string            `json:"id,omitzero"`
}

// An act does one thing, and answers with what came of it.
type act struct {
	// takes are the words that its order may have. Others are refused: who names a device, and has all of a user's connections
	// cut because the act knows no devices, was not understood.
	takes []string
	do    func(n Node, r *http.Request, o *order) (any, error)
}

// acts are all there are.
var acts = map[string]act{
	"disconnect": {[]string{"conn", "user"}, func(n Node, r *http.Request, o *order) (any, error) {
		if o.User != "" {
			ended, err := n.DisconnectUser(r.Context(), o.User)
			return map[string]int{"disconnected": ended}, err
		}
		return done(n.Disconnect(r.Context(), o.Conn))
	}},
	"report": {[]string{"conn"}, func(n Node, r *http.Request, o *order) (any, error) {
		return done(n.AskReport(r.Context(), o.Conn))
	}},
	"end-run": {[]string{"session", "run"}, func(n Node, r *http.Request, o *order) (any, error) {
		return map[string]bool{"ended": true}, n.EndRun(r.Context(), o.Session, o.Run)
	}},
	"revoke":  {[]string{"token", "user", "client", "session", "actions", "until", "reason"}, revoke},
	"restore": {[]string{"id"}, restore},
}

func done(found bool, err error) (any, error) {
	if err == nil && !found {
		err = holdfast.Errorf(holdfast.CodeNotFound, "there is no such connection; it may have ended by itself")
	}
	return map[string]bool{"done": true}, err
}

// maxOrder bounds the body of an act, in bytes.
const maxOrder = 4 << 10

// read reads the order for an act.
func (x *act) read(r *http.Request) (o order, err error) {
	words := map[string]json.RawMessage{}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxOrder))
	if err == nil {
		err = json.Unmarshal(body, &words)
	}
	if err == nil {
		err = json.Unmarshal(body, &o)
	}
	if err != nil {
		return o, holdfast.Wrap(holdfast.CodeInvalid, err, "the body is a JSON object with %s", strings.Join(x.takes, ", "))
	}
	for word := range words {
		if !slices.Contains(x.takes, word) {
			return o, holdfast.Errorf(holdfast.CodeInvalid, "this act knows %s, and not %q", strings.Join(x.takes, ", "), word)
		}
	}
	return o, nil
}

// act is the way every act goes: who may, what exactly, into the audit log, and only then the act.
func (a *Admin) act(name string, x act) route {
	return func(r *http.Request) (any, error) {
		if err := mayAct(r); err != nil {
			return nil, err
		}
		o, err := x.read(r)
		if err != nil {
			return nil, err
		}
		if err := a.audit.write(&deed{By: operatorOf(r).Name, From: a.from(r), Via: via(a.from(r), r), Act: name, order: o}); err != nil {
			return nil, err
		}
		return x.do(a.opts.Node, r, &o)
	}
}

// from is the address that a request came from: the client's, where a trusted proxy stands in front, and with its port, if that is known.
func (a *Admin) from(r *http.Request) string {
	switch from := a.opts.Remote(r); {
	case !from.IsValid():
		return r.RemoteAddr
	case from.Port() == 0:
		return from.Addr().String()
	default:
		return from.String()
	}
}

// via is who said that it came from there: a trusted proxy, or somebody in its network.
func via(from string, r *http.Request) string {
	if from == r.RemoteAddr {
		return ""
	}
	return r.RemoteAddr
}

// deed is a line of the audit log.
type deed struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	From string    `json:"from"`
	Via  string    `json:"via,omitempty"`
	Act  string    `json:"act"`
	order
}

// audit writes deeds down.
type audit struct {
	log *slog.Logger
	now func() time.Time

	// mu guards the writer: lines must not mix.
	mu sync.Mutex
	to io.Writer
}

func (a *audit) write(d *deed) error {
	d.At = a.now()
	a.log.Info("an operator acts", "act", d.Act, "by", d.By, "from", d.From, "via", d.Via, "conn", d.Conn, "user", d.User, "client", d.Client,
		"session", d.Session, "run", d.Run, "token", d.Token, "actions", d.Actions, "id", d.ID)
	if a.to == nil {
		return nil
	}
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.to.Write(append(line, '\n')); err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the audit log cannot be written, so nothing was done")
	}
	return nil
}
