package demo

import (
	"context"
	"fmt"

	"github.com/holdfast/holdfast"
)

// askAfter is the step after which the task asks whether to go on, and askSeconds how long it waits for an answer. Without one it
// goes on.
const askAfter, askSeconds = 20, 60

// approved asks whoever looks at the session whether to go on, and waits. It may be killed meanwhile: asked again under the same id, it
// is the same question, and perhaps it has been answered.
func (b *bot) approved(ctx context.Context, s holdfast.SessionID, p progress) (bool, error) {
	question := map[string]any{
		"id": p.Task + ":ask", "within": askSeconds, "default": true,
		"data": map[string]any{"text": fmt.Sprintf("%d of %d steps are done. Go on with the rest?", p.Done, p.Total)},
	}
	var asked struct {
		Offset  holdfast.Offset `json:"offset"`
		State   string          `json:"state"`
		Settled struct {
			Data bool `json:"data"`
		} `json:"settled"`
	}
	if err := b.api.insist(ctx, post(sessionPath(s, "/requests"), question), &asked); err != nil {
		return false, err
	}
	path := sessionPath(s, fmt.Sprintf("/requests/%d?wait=25", asked.Offset))
	for asked.State == "open" {
		if err := b.api.insist(ctx, get(path), &asked); err != nil {
			return false, err
		}
	}
	return asked.Settled.Data, nil
}
