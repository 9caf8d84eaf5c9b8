// Package demo is the demonstration that the development mode serves: a page with two chats and a long task, and the
// bot behind them. The bot is a backend like any other: it uses the HTTP API, with a token, and nothing else.
package demo

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/holdfast/holdfast"
)

//go:embed assets
var assets embed.FS

// Options are what the demo needs of the program that serves it. All fields are required.
type Options struct {
	// API is the base URL of the HTTP API, such as "http://127.0.0.1:8080".
	API string
	// BackendToken and UserToken mint tokens: for the bot, and for whoever opens the page. That is what makes this a
	// development mode: everybody is let in.
	BackendToken func() (string, error)
	UserToken    func(holdfast.UserID) (token string, expires time.Time, err error)
	// Line does to a live connection what a bad network would: "cut" or "blackhole".
	Line   func(conn holdfast.ConnID, action string) error
	Logger *slog.Logger
	// PerSecond is how many words the bot writes. Default: 40.
	PerSecond int
}

// Demo serves the page and runs the bot.
type Demo struct {
	opts Options
	api  *api
	mux  *http.ServeMux
}

// New returns a demo. Its bot runs in Run.
func New(o Options) *Demo {
	d := &Demo{opts: o, api: &api{base: o.API, token: o.BackendToken, http: &http.Client{}}, mux: http.NewServeMux()}
	pages, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	d.mux.Handle("GET /", fresh(http.FileServerFS(pages)))
	d.mux.HandleFunc("GET /demo/config", d.config)
	d.mux.HandleFunc("POST /demo/token", d.token)
	d.mux.HandleFunc("POST /demo/line", d.line)
	return d
}

// ServeHTTP serves the page and what it asks for under /demo/.
func (d *Demo) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// fresh makes browsers ask again each time: the files of a development mode change under them.
func fresh(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// Run runs the bot until ctx ends.
func (d *Demo) Run(ctx context.Context) error {
	return newBot(d.opts).run(ctx)
}

// prefix is that of all sessions of the demo: its users may read and send there and nowhere else.
const prefix = "demo:"

// Patterns are the session patterns that a token for the page needs.
func Patterns() []string { return []string{prefix + "*"} }

var roomName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

type place struct {
	ID    holdfast.SessionID `json:"id"`
	Title string             `json:"title"`
}

func (d *Demo) config(w http.ResponseWriter, r *http.Request) {
	room := r.URL.Query().Get("room")
	if room == "" {
		room = "lobby"
	}
	if !roomName.MatchString(room) {
		http.Error(w, "a room's name is 1 to 40 letters, digits, _ or -", http.StatusBadRequest)
		return
	}
	session := func(name string) holdfast.SessionID { return holdfast.SessionID(prefix + room + ":" + name) }
	d.takeTurns(r.Context(), session("atlas"))
	answer(w, map[string]any{
		"room":  room,
		"ws":    "/v1/ws",
		"chats": []place{{session("atlas"), "Atlas"}, {session("beacon"), "Beacon"}},
		"task":  place{session("task"), "Long task"},
	})
}

// takeTurns has what is sent to a chat while an answer is under way wait for its turn. The other chat takes everything at once, for
// comparison.
func (d *Demo) takeTurns(ctx context.Context, s holdfast.SessionID) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	q := ask{method: http.MethodPut, path: sessionPath(s, "/turns"), body: map[string]string{"policy": "queue"}}
	if err := d.api.insist(ctx, q, nil); err != nil {
		d.opts.Logger.Warn("the demo's chat cannot be told to take turns", "session", s, "err", err)
	}
}

func (d *Demo) token(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User holdfast.UserID `json:"user"`
	}
	if !question(w, r, &in) {
		return
	}
	if err := in.User.Validate(); err != nil {
		http.Error(w, holdfast.MessageOf(err), http.StatusBadRequest)
		return
	}
	token, expires, err := d.opts.UserToken(in.User)
	if err != nil {
		d.opts.Logger.Error("no token for the demo's user", "err", err)
		http.Error(w, "no token could be made; the server's log has the reason", http.StatusInternalServerError)
		return
	}
	answer(w, map[string]any{"token": token, "user": in.User, "exp": expires.UnixMilli()})
}

func (d *Demo) line(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Conn   holdfast.ConnID `json:"conn"`
		Action string          `json:"action"`
	}
	if !question(w, r, &in) {
		return
	}
	if in.Action != "cut" && in.Action != "blackhole" {
		http.Error(w, `action is "cut" or "blackhole"`, http.StatusBadRequest)
		return
	}
	if err := d.opts.Line(in.Conn, in.Action); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func question(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(into); err != nil {
		http.Error(w, "the body is not the JSON that this route takes", http.StatusBadRequest)
		return false
	}
	return true
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}
