package runtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/holdfast/holdfast"
)

// API is a server's HTTP API, by which one session with one message and one run, its answer, is played with.
type API struct {
	// HTTP carries the requests to Base; one that fails is one whose answer was lost.
	HTTP        http.RoundTripper
	Base, Token string
	Session     holdfast.SessionID

	// run is where the run stands, once somebody has opened it.
	run atomic.Uint64
}

// Run is where the run stands; 0 if nobody has learned of one.
func (a *API) Run() holdfast.Offset { return holdfast.Offset(a.run.Load()) }

// The run stands behind the message that it answers.
const (
	message = 1
	runID   = "answer"
)

// Word is the text of a fragment, by its number, whoever writes it.
func Word(n int) string { return fmt.Sprintf("w%d ", n) }

// Text is that of the first n fragments.
func Text(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(Word(i + 1))
	}
	return b.String()
}

type runJSON struct {
	Run       holdfast.Offset    `json:"run"`
	Status    holdfast.RunStatus `json:"status"`
	Fence     holdfast.Fence     `json:"fence"`
	Fragments int                `json:"fragments"`
	State     holdfast.StopState `json:"state"`
	Stop      *struct {
		State holdfast.StopState `json:"state"`
	} `json:"stop"`
}

// Say appends the message. It may be repeated.
func (a *API) Say(ctx context.Context) error {
	_, refused, err := a.ask(ctx, http.MethodPost, "/entries", map[string]any{"id": "m", "data": "?"})
	if refused != "" {
		return fmt.Errorf("the message was refused as %s", refused)
	}
	return err
}

// ErrAway is what HTTP returns for a request that surely did not reach the server.
var ErrAway = errors.New("the server is away")

// away reports whether a request was surely not heard: nobody took the connection.
func away(err error) bool {
	var op *net.OpError
	return errors.Is(err, ErrAway) || errors.As(err, &op) && op.Op == "dial"
}

// do makes a request.
func (a *API) do(ctx context.Context, who int, ask Ask) Told {
	method, path, body := http.MethodPost, fmt.Sprintf("/runs/%d", a.Run()), map[string]any{"fence": ask.Fence}
	switch ask.Kind {
	case Open:
		path, body = "/runs", map[string]any{"id": runID, "takeOver": ask.TakeOver, "answers": message}
	case Append:
		words := make([]map[string]string, ask.Count)
		for i := range words {
			words[i] = map[string]string{"text": Word(ask.After + i + 1)}
		}
		path += "/fragments"
		body["after"], body["fragments"] = ask.After, words
	case End:
		path += "/end"
		body["status"] = ask.Status
	case Stop:
		path, body = "/stops", map[string]any{"id": fmt.Sprintf("s%d", who), "user": fmt.Sprintf("u%d", who), "answers": message}
	case Read:
		method = http.MethodGet
	}
	text, code, err := a.ask(ctx, method, path, body)
	var r runJSON
	switch {
	case away(err):
		return Told{Lost: true, away: true}
	case err != nil:
		return Told{Lost: true}
	case code != "":
		return Told{Code: code}
	case json.Unmarshal(text, &r) != nil:
		return Told{Code: holdfast.CodeInternal}
	}
	if ask.Kind == Open {
		a.run.Store(uint64(r.Run))
	}
	told := Told{Status: r.Status, Fence: r.Fence, Fragments: r.Fragments, Stop: r.State}
	if r.Stop != nil {
		told.Stop = r.Stop.State
	}
	return told
}

// ask makes a request. It is answered, or refused by a code; an error tells nothing of what became of it.
func (a *API) ask(ctx context.Context, method, path string, in any) (answer []byte, refused holdfast.Code, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, "", err
	}
	if method == http.MethodGet {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, a.Base+"/v1/sessions/"+string(a.Session)+path, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.HTTP.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return nil, "", err
	case res.StatusCode >= 500:
		return nil, "", fmt.Errorf("%s: %s", res.Status, text)
	case res.StatusCode < 300:
		return text, "", nil
	}
	var problem struct {
		Code holdfast.Code `json:"code"`
	}
	if err := json.Unmarshal(text, &problem); err != nil || problem.Code == "" {
		return nil, "", fmt.Errorf("%s: %s", res.Status, text)
	}
	return nil, problem.Code, nil
}
