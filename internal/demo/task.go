package demo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/holdfast/holdfast"
)

// progress is the task's state, under the key "progress".
type progress struct {
	Task   string `json:"task"`
	Done   int    `json:"done"`
	Total  int    `json:"total"`
	Label  string `json:"label"`
	Status string `json:"status"` // running, done or failed
}

// stepWords is how many words a step of the task takes the time of.
const stepWords = 16

// steps are what the task pretends to do; what it shows, progress and log lines that survive everything, is real.
func steps() []string {
	var all []string
	for _, region := range []string{"north", "east", "south", "west"} {
		for _, what := range []string{
			"reading the catalogue", "checking 1,204 pages", "resizing pictures", "building the index",
			"comparing with yesterday", "writing the report", "compressing", "uploading", "verifying checksums", "tidying up",
		} {
			all = append(all, fmt.Sprintf("%s: %s", region, what))
		}
	}
	return all
}

func (b *bot) startTask(ctx context.Context, s holdfast.SessionID, task string) error {
	if running, err := b.task(ctx, s); err != nil || running.Status == "running" {
		return err // one at a time; it is being worked on
	}
	first := progress{Task: task, Total: len(steps()), Label: "starting", Status: "running"}
	if err := b.setProgress(ctx, s, first, -1); err != nil {
		return err
	}
	b.jobs.Go(func() { b.report(ctx, "task", b.work(ctx, s, first)) })
	return nil
}

// task returns how a session's task stands.
func (b *bot) task(ctx context.Context, s holdfast.SessionID) (progress, error) {
	var states struct {
		States []struct {
			Key  string   `json:"key"`
			Data progress `json:"data"`
		} `json:"states"`
	}
	err := b.api.insist(ctx, get(sessionPath(s, "/states")), &states)
	for _, st := range states.States {
		if st.Key == "progress" {
			return st.Data, err
		}
	}
	return progress{}, err
}

func (b *bot) setProgress(ctx context.Context, s holdfast.SessionID, p progress, step int) error {
	id := fmt.Sprintf("%s:state:%d", p.Task, step)
	put := ask{method: http.MethodPut, path: sessionPath(s, "/states/progress"), key: id, body: p}
	return b.api.insist(ctx, put, nil)
}

// work does the steps that are left. A step that was logged before a crash, but not counted, is logged again under the
// same id, which writes nothing.
func (b *bot) work(ctx context.Context, s holdfast.SessionID, p progress) error {
	all := steps()
	for step := p.Done; step < len(all); step++ {
		if step == askAfter {
			goOn, err := b.approved(ctx, s, p)
			if err != nil {
				return err
			}
			if !goOn {
				p.Status, p.Label = "failed", "given up, as was said"
				return b.setProgress(ctx, s, p, step)
			}
		}
		sleep(ctx, stepWords*b.word)
		line := map[string]any{
			"id": fmt.Sprintf("%s:log:%d", p.Task, step), "data": map[string]string{"type": "log", "text": all[step]},
		}
		if err := b.api.insist(ctx, post(sessionPath(s, "/entries"), line), nil); err != nil {
			return err
		}
		p.Done, p.Label = step+1, all[step]
		if p.Done == len(all) {
			p.Status, p.Label = "done", "all done"
		}
		if err := b.setProgress(ctx, s, p, step); err != nil {
			return err
		}
	}
	return nil
}

// resumeTasks goes on with the tasks that were running.
func (b *bot) resumeTasks(ctx context.Context) error {
	after := ""
	for {
		var page struct {
			Sessions []struct {
				Session holdfast.SessionID `json:"session"`
			} `json:"sessions"`
			Next string `json:"next"`
		}
		path := "/v1/sessions?prefix=" + url.QueryEscape(prefix) + "&after=" + url.QueryEscape(after)
		if err := b.api.insist(ctx, get(path), &page); err != nil {
			return err
		}
		for _, x := range page.Sessions {
			if !strings.HasSuffix(string(x.Session), ":task") {
				continue
			}
			p, err := b.task(ctx, x.Session)
			if err != nil {
				return err
			}
			if p.Status == "running" {
				b.log.Info("the demo's bot goes on with a task", "session", x.Session, "done", p.Done)
				b.jobs.Go(func() { b.report(ctx, "task", b.work(ctx, x.Session, p)) })
			}
		}
		if page.Next == "" {
			return nil
		}
		after = page.Next
	}
}
