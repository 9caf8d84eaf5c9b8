package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/holdfast/holdfast"
)

// api writes as a backend does, over HTTP. It may be used by many goroutines.
type api struct {
	base, token string
	http        http.Client
}

func newAPI(t *Target) (*api, error) {
	token, err := t.backendToken()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 4096, MaxIdleConns: 8192, DisableCompression: true}
	return &api{base: t.url + "/v1/sessions/", token: token, http: http.Client{Transport: transport}}, nil
}

func (a *api) close() { a.http.CloseIdleConnections() }

// do sends a request and decodes the answer into out, unless that is nil.
func (a *api) do(ctx context.Context, method, path string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the request cannot be made")
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	res, err := a.http.Do(req)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the server did not answer")
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the server's answer broke off")
	case res.StatusCode >= 300:
		return holdfast.Errorf(holdfast.CodeUnavailable, "%s %s was answered %s: %s", method, path, res.Status, text)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the server's answer cannot be read")
	}
	return nil
}

// append writes messages, each one JSON value, in one request, and returns the offset of the first.
func (a *api) append(ctx context.Context, s holdfast.SessionID, data ...[]byte) (holdfast.Offset, error) {
	var b bytes.Buffer
	b.WriteString(`{"entries":[`)
	for i, d := range data {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"data":%s}`, d)
	}
	b.WriteString(`]}`)
	var out struct {
		Entries []struct{ Offset holdfast.Offset }
	}
	if err := a.do(ctx, http.MethodPost, string(s)+"/entries", &b, &out); err != nil {
		return 0, err
	}
	if len(out.Entries) != len(data) {
		return 0, violation("appended %d entries to %s, the server acknowledged %d", len(data), s, len(out.Entries))
	}
	for i := range out.Entries {
		if out.Entries[i].Offset != out.Entries[0].Offset+holdfast.Offset(i) {
			return 0, violation("the entries of one request do not stand together: %v", out.Entries)
		}
	}
	return out.Entries[0].Offset, nil
}

// openRun is a run that this program writes to.
type openRun struct {
	api   *api
	path  string
	Run   holdfast.Offset
	Fence holdfast.Fence
	after uint64
}

func (a *api) openRun(ctx context.Context, s holdfast.SessionID, id string) (*openRun, error) {
	r := &openRun{api: a}
	body := fmt.Sprintf(`{"id":%q}`, id)
	if err := a.do(ctx, http.MethodPost, string(s)+"/runs", bytes.NewReader([]byte(body)), r); err != nil {
		return nil, err
	}
	r.path = string(s) + "/runs/" + strconv.FormatUint(uint64(r.Run), 10)
	return r, nil
}

// write appends fragments, whose texts need no escaping, in one request.
func (r *openRun) write(ctx context.Context, texts ...string) error {
	b := fmt.Appendf(nil, `{"fence":%d,"after":%d,"fragments":[`, r.Fence, r.after)
	for i, t := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"text":"`...), t...), `"}`...)
	}
	if err := r.api.do(ctx, http.MethodPost, r.path+"/fragments", bytes.NewReader(append(b, `]}`...)), nil); err != nil {
		return err
	}
	r.after += uint64(len(texts))
	return nil
}

func (r *openRun) complete(ctx context.Context) error {
	body := fmt.Sprintf(`{"fence":%d,"status":"complete"}`, r.Fence)
	return r.api.do(ctx, http.MethodPost, r.path+"/end", bytes.NewReader([]byte(body)), nil)
}

// pipe writes a whole answer in one request, as its text comes.
func (a *api) pipe(ctx context.Context, s holdfast.SessionID, id string, body io.Reader) error {
	return a.do(ctx, http.MethodPut, string(s)+"/pipe?id="+id, body, nil)
}
