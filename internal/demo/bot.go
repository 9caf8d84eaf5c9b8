package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

// consumer is the name under which the bot's place in the feed is kept.
const consumer = "demo-bot"

// bot answers what people write. It may be killed at any moment: what it has to do is written down in the sessions, and
// every write that it makes may be repeated.
type bot struct {
	api *api
	log *slog.Logger
	// word is how long the bot takes for a word.
	word time.Duration

	// jobs counts the answers and tasks under way; run waits for them.
	jobs sync.WaitGroup
}

func newBot(o Options) *bot {
	// Each answer under way holds a connection; the default of two idle ones would dial for every word.
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	return &bot{api: &api{base: o.API, token: o.BackendToken, http: &http.Client{Transport: transport}}, log: o.Logger, word: time.Second / time.Duration(cmp.Or(o.PerSecond, 40))}
}

// feedItem is what the feed tells of a message.
type feedItem struct {
	Cursor  string             `json:"cursor"`
	Session holdfast.SessionID `json:"session"`
	Entry   struct {
		Offset holdfast.Offset `json:"offset"`
		ID     string          `json:"id"`
		Data   json.RawMessage `json:"data"`
	} `json:"entry"`
}

// run takes up what was under way when the bot last stopped, and then follows the feed until ctx ends.
func (b *bot) run(ctx context.Context) error {
	defer b.api.http.CloseIdleConnections()
	defer b.jobs.Wait()
	resumed := false
	for ctx.Err() == nil {
		var err error
		if !resumed {
			err = b.resume(ctx)
			resumed = err == nil
		}
		if err == nil {
			err = b.api.follow(ctx, "/v1/feed?consumer="+consumer, func(line []byte) error { return b.take(ctx, line) })
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("the demo's bot cannot reach the API and will try again", "err", err)
		}
		sleep(ctx, time.Second/2)
	}
	return nil
}

// resume goes on with the runs and tasks that are open.
func (b *bot) resume(ctx context.Context) error {
	after := ""
	for {
		var page struct {
			Runs []struct {
				Session holdfast.SessionID `json:"session"`
				Run     holdfast.Offset    `json:"run"`
				ID      string             `json:"id"`
			} `json:"runs"`
			Next string `json:"next"`
		}
		if err := b.api.insist(ctx, get("/v1/runs"+after), &page); err != nil {
			return err
		}
		for _, r := range page.Runs {
			if strings.HasPrefix(string(r.Session), prefix) && strings.HasPrefix(r.ID, answerID("")) {
				b.jobs.Go(func() { b.report(ctx, "answer", b.goOn(ctx, r.Session, r.Run)) })
			}
		}
		if page.Next == "" {
			break
		}
		after = "?after=" + url.QueryEscape(page.Next)
	}
	return b.resumeTasks(ctx)
}

// report says that a job was given up, unless the bot was asked to stop: then it goes on with it the next time.
func (b *bot) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		b.log.Warn("the demo's bot gave something up", "what", what, "err", err)
	}
}

// take acts on one item of the feed and then notes its place. Killed in between, it acts twice, which the ids make once.
func (b *bot) take(ctx context.Context, line []byte) error {
	var it feedItem
	if err := json.Unmarshal(line, &it); err != nil {
		return err
	}
	if strings.HasPrefix(string(it.Session), prefix) {
		if err := b.act(ctx, &it); err != nil && !final(err) {
			return err
		}
	}
	return b.api.insist(ctx, post("/v1/feed/consumers/"+consumer, map[string]string{"cursor": it.Cursor}), nil)
}

func (b *bot) act(ctx context.Context, it *feedItem) error {
	var said struct {
		Text string `json:"text"`
		Type string `json:"type"`
	}
	if json.Unmarshal(it.Entry.Data, &said) != nil {
		return nil // somebody else's idea of a message
	}
	if strings.HasSuffix(string(it.Session), ":task") {
		if said.Type == "start" {
			return b.startTask(ctx, it.Session, it.Entry.ID)
		}
		return nil
	}
	if said.Text == "" { // others need not wait for an answer to it
		return b.api.insist(ctx, post(sessionPath(it.Session, fmt.Sprintf("/turns/%d/done", it.Entry.Offset)), nil), nil)
	}
	return b.startAnswer(ctx, it, said.Text)
}

func answerID(message string) string { return "answer:" + message }

// answerData is what the bot's runs are opened with. The question is in it, so that whoever goes on after a crash has
// all that the answer follows from.
type answerData struct {
	Role     string `json:"role"`
	Re       string `json:"re"`
	Question string `json:"question"`
}

type runState struct {
	Run       holdfast.Offset    `json:"run"`
	Status    holdfast.RunStatus `json:"status"`
	Fence     holdfast.Fence     `json:"fence"`
	Fragments int                `json:"fragments"`
}

func (b *bot) startAnswer(ctx context.Context, it *feedItem, question string) error {
	s, message := it.Session, it.Entry.ID
	if len(question) > 2000 {
		question = strings.ToValidUTF8(question[:2000], "")
	}
	run, err := b.open(ctx, s, answerData{"assistant", message, question}, it.Entry.Offset)
	if err != nil || run.Status != holdfast.RunOpen {
		return err
	}
	b.jobs.Go(func() { b.report(ctx, "answer", b.write(ctx, s, run, message, question)) })
	return nil
}

// open opens the run that answers a message, or takes it over; then the message is known already.
func (b *bot) open(ctx context.Context, s holdfast.SessionID, data answerData, answers holdfast.Offset) (runState, error) {
	var run runState
	body := map[string]any{"id": answerID(data.Re), "data": data, "takeOver": true, "answers": answers}
	err := b.api.insist(ctx, post(sessionPath(s, "/runs"), body), &run)
	return run, err
}

// goOn takes an open run over and writes the rest of it.
func (b *bot) goOn(ctx context.Context, s holdfast.SessionID, run holdfast.Offset) error {
	var entry struct {
		Data answerData `json:"data"`
	}
	if err := b.api.insist(ctx, get(sessionPath(s, fmt.Sprintf("/runs/%d", run))), &entry); err != nil {
		return err
	}
	state, err := b.open(ctx, s, entry.Data, 0)
	if err != nil || state.Status != holdfast.RunOpen {
		return err
	}
	b.log.Info("the demo's bot goes on with an answer", "session", s, "run", run, "fragment", state.Fragments)
	return b.write(ctx, s, state, entry.Data.Re, entry.Data.Question)
}

// write writes the answer word by word, from the fragment at which the run stands. The same question always has the same
// answer, so fragment n is always the same word.
func (b *bot) write(ctx context.Context, s holdfast.SessionID, run runState, message, question string) error {
	words := compose(message, question)
	path := sessionPath(s, fmt.Sprintf("/runs/%d/fragments", run.Run))
	tick := time.NewTicker(b.word)
	defer tick.Stop()
	for n := run.Fragments; n < len(words); n++ {
		word := map[string]any{"fence": run.Fence, "after": n, "fragments": []fragment{words[n]}}
		err := b.api.insist(ctx, post(path, word), nil)
		if stopped(err) {
			return b.end(ctx, s, run, holdfast.RunStopped, n)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		// Models hesitate now and then.
		if rand.N(60) == 0 {
			sleep(ctx, rand.N(8*b.word))
		}
	}
	return b.end(ctx, s, run, holdfast.RunComplete, len(words))
}

func (b *bot) end(ctx context.Context, s holdfast.SessionID, run runState, status holdfast.RunStatus, words int) error {
	end := map[string]any{"fence": run.Fence, "status": status, "data": map[string]int{"words": words}}
	return b.api.insist(ctx, post(sessionPath(s, fmt.Sprintf("/runs/%d/end", run.Run)), end), nil)
}
