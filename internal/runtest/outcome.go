package runtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/holdfast/holdfast"
)

// Outcome is how the run ended, as the log has it.
type Outcome struct {
	Run       holdfast.Offset
	Status    holdfast.RunStatus
	Fragments int
	Text      string
	// Stops are the states that the log's events tell, in order.
	Stops []holdfast.StopState
}

// Outcome reads the log; nil where no run was opened.
func (a *API) Outcome(ctx context.Context) (*Outcome, error) {
	text, refused, err := a.ask(ctx, http.MethodGet, "/entries?limit=200&after=0", nil)
	if err != nil || refused != "" {
		return nil, fmt.Errorf("the log cannot be read: %s %v", refused, err)
	}
	var page struct {
		Entries []struct {
			Offset holdfast.Offset `json:"offset"`
			Kind   holdfast.Kind   `json:"kind"`
			Data   struct {
				Stop struct {
					State holdfast.StopState `json:"state"`
				} `json:"stop"`
			} `json:"data"`
			Run *struct {
				Status    holdfast.RunStatus `json:"status"`
				Fragments int                `json:"fragments"`
				Body      []struct {
					Text string `json:"text"`
				} `json:"body"`
			} `json:"run"`
		} `json:"entries"`
	}
	if err := json.Unmarshal(noStrings(text), &page); err != nil {
		return nil, err
	}
	var out *Outcome
	var stops []holdfast.StopState
	for _, e := range page.Entries {
		if e.Kind == holdfast.KindEvent {
			stops = append(stops, e.Data.Stop.State)
		}
		if e.Run == nil {
			continue
		}
		if out != nil {
			return nil, fmt.Errorf("there are two runs")
		}
		out = &Outcome{Run: e.Offset, Status: e.Run.Status, Fragments: e.Run.Fragments}
		for _, b := range e.Run.Body {
			out.Text += b.Text
		}
	}
	if out != nil {
		out.Stops = stops
	}
	return out, nil
}

// noStrings takes the message's own data out of the way, which is a string and no object.
func noStrings(text []byte) []byte {
	return []byte(strings.Replace(string(text), `"data":"?"`, `"data":{}`, 1))
}

// Check returns an error where the run is not ended, has another text than its fragments make, or where more than one stop
// was effective.
func (o *Outcome) Check() error {
	if !o.Status.Ended() {
		return fmt.Errorf("the run is %s", o.Status)
	}
	if want := Text(o.Fragments); o.Text != want {
		return fmt.Errorf("the text of %d fragments is %q, want %q", o.Fragments, o.Text, want)
	}
	requested, settled := 0, 0
	for _, s := range o.Stops {
		switch {
		case s == holdfast.StopRequested:
			requested++
		case requested > 0 && s != holdfast.StopTooLate, requested > settled:
			settled++
		}
	}
	// One that waited in vain is settled twice: as unreachable, and as stopped with the run that came after all.
	if requested > 1 || requested > settled || settled > 2*requested {
		return fmt.Errorf("the events tell of the stops %v", o.Stops)
	}
	return nil
}
