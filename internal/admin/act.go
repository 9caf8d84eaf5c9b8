package admin

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

// An order is what an act is done to.
type order struct {
	Conn    holdfast.ConnID    `json:"conn,omitzero"`
	User    holdfast.UserID    `json:"user,omitzero"`
	Session holdfast.SessionID `json:"session,omitzero"`
	Run     holdfast.Offset    `json:"run,omitzero"`
}

// acts are all there are. Each does one thing and answers with what came of it.
var acts = map[string]func(n Node, r *http.Request, o *order) (any, error){
	"disconnect": func(n Node, r *http.Request, o *order) (any, error) {
		if o.User != "" {
			ended, err := n.DisconnectUser(r.Context(), o.User)
			return map[string]int{"disconnected": ended}, err
		}
		return done(n.Disconnect(r.Context(), o.Conn))
	},
	"report": func(n Node, r *http.Request, o *order) (any, error) { return done(n.AskReport(r.Context(), o.Conn)) },
	"end-run": func(n Node, r *http.Request, o *order) (any, error) {
		return map[string]bool{"ended": true}, n.EndRun(r.Context(), o.Session, o.Run)
	},
}

func done(found bool, err error) (any, error) {
	if err == nil && !found {
		err = holdfast.Errorf(holdfast.CodeNotFound, "there is no such connection; it may have ended by itself")
	}
	return map[string]bool{"done": true}, err
}

// act is the way every act goes: who may, what exactly, into the audit log, and only then the act.
func (a *Admin) act(name string, run func(Node, *http.Request, *order) (any, error)) route {
	return func(r *http.Request) (any, error) {
		if err := mayAct(r); err != nil {
			return nil, err
		}
		var o order
		d := json.NewDecoder(io.LimitReader(r.Body, 4<<10))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the body is a JSON object with conn, user, session or run")
		}
		if err := a.audit.write(&deed{By: operatorOf(r).Name, From: r.RemoteAddr, Act: name, order: o}); err != nil {
			return nil, err
		}
		return run(a.opts.Node, r, &o)
	}
}

// deed is a line of the audit log.
type deed struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	From string    `json:"from"`
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
	a.log.Info("an operator acts", "act", d.Act, "by", d.By, "from", d.From, "conn", d.Conn, "user", d.User, "session", d.Session, "run", d.Run)
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
