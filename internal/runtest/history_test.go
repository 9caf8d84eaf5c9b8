package runtest

import (
	"testing"

	"github.com/holdfast/holdfast"
)

// exchange is a request and its answer.
type exchange struct {
	ask  Ask
	told Told
}

func opened(fence holdfast.Fence, n int) exchange {
	return exchange{Ask{Kind: Open, TakeOver: fence > 1}, Told{Status: holdfast.RunOpen, Fence: fence, Fragments: n}}
}

func appended(fence holdfast.Fence, after, count int, code holdfast.Code) exchange {
	return exchange{Ask{Kind: Append, Fence: fence, After: after, Count: count}, Told{Code: code, Fragments: after + count}}
}

func ended(fence holdfast.Fence, s holdfast.RunStatus, n int, stop holdfast.StopState) exchange {
	return exchange{Ask{Kind: End, Fence: fence, Status: s}, Told{Status: s, Fence: fence, Fragments: n, Stop: stop}}
}

func pressed(s holdfast.StopState) exchange { return exchange{Ask{Kind: Stop}, Told{Stop: s}} }

var lost = exchange{Ask{Kind: End, Fence: 1, Status: holdfast.RunFailed}, Told{Lost: true}}

func TestHistoriesAreJudged(t *testing.T) {
	const complete, stopped = holdfast.RunComplete, holdfast.RunStopped
	for name, c := range map[string]struct {
		legal bool
		all   []exchange
	}{
		"nothing":                         {true, nil},
		"a whole life":                    {true, []exchange{opened(1, 0), appended(1, 0, 2, ""), ended(1, complete, 2, "")}},
		"ended twice":                     {false, []exchange{opened(1, 0), ended(1, complete, 0, ""), ended(1, stopped, 0, "")}},
		"appended behind the end":         {false, []exchange{opened(1, 0), ended(1, complete, 0, ""), appended(1, 0, 1, "")}},
		"a repeat counts once":            {false, []exchange{opened(1, 0), appended(1, 0, 2, ""), appended(1, 0, 2, ""), opened(2, 4)}},
		"taken over":                      {true, []exchange{opened(1, 0), appended(1, 0, 1, ""), opened(2, 1), appended(1, 1, 1, holdfast.CodeFenced)}},
		"written by one who was fenced":   {false, []exchange{opened(1, 0), opened(2, 0), appended(1, 0, 1, "")}},
		"appended behind a stop":          {false, []exchange{opened(1, 0), pressed(holdfast.StopRequested), appended(1, 0, 1, "")}},
		"repeated behind a stop":          {true, []exchange{opened(1, 0), appended(1, 0, 1, ""), pressed(holdfast.StopRequested), appended(1, 0, 1, "")}},
		"heeded":                          {true, []exchange{opened(1, 0), pressed(holdfast.StopRequested), ended(1, stopped, 0, holdfast.StopStopped)}},
		"heeded, and said to be too late": {false, []exchange{opened(1, 0), pressed(holdfast.StopRequested), ended(1, stopped, 0, holdfast.StopTooLate)}},
		"given up by the server":          {true, []exchange{opened(1, 0), pressed(holdfast.StopRequested), pressed(holdfast.StopUnreachable)}},
		"given up before it was asked":    {false, []exchange{opened(1, 0), pressed(holdfast.StopUnreachable)}},
		"too late, and yet it goes on":    {false, []exchange{opened(1, 0), pressed(holdfast.StopTooLate), appended(1, 0, 1, "")}},
		"an answer that was lost":         {true, []exchange{opened(1, 0), lost, pressed(holdfast.StopTooLate)}},
		"waits for its run":               {true, []exchange{pressed(holdfast.StopRequested), {Ask{Kind: Open}, Told{Status: holdfast.RunOpen, Fence: 1, Stop: holdfast.StopRequested}}}},
		"forgotten by its run":            {false, []exchange{pressed(holdfast.StopRequested), opened(1, 0)}},
		"waited in vain, and still counts": {true, []exchange{pressed(holdfast.StopRequested), pressed(holdfast.StopUnreachable),
			{Ask{Kind: Open}, Told{Status: stopped, Fence: 1, Stop: holdfast.StopStopped}}}},
	} {
		t.Run(name, func(t *testing.T) {
			var h History
			for _, x := range c.all {
				h.call(1, x.ask, func() Told { return x.told })
			}
			if err := h.Check(); (err == nil) != c.legal {
				t.Errorf("legal should be %v: %v", c.legal, err)
			}
		})
	}
}

func TestOutcomesAreJudged(t *testing.T) {
	const requested, outcome = holdfast.StopRequested, holdfast.StopStopped
	for name, c := range map[string]struct {
		good bool
		out  Outcome
	}{
		"ended":                    {true, Outcome{Status: holdfast.RunComplete, Fragments: 2, Text: "w1 w2 "}},
		"open":                     {false, Outcome{Status: holdfast.RunOpen}},
		"a word twice":             {false, Outcome{Status: holdfast.RunComplete, Fragments: 2, Text: "w1 w1 "}},
		"stopped":                  {true, Outcome{Status: holdfast.RunStopped, Stops: []holdfast.StopState{requested, outcome}}},
		"no outcome":               {false, Outcome{Status: holdfast.RunStopped, Stops: []holdfast.StopState{requested}}},
		"two that were effective":  {false, Outcome{Status: holdfast.RunStopped, Stops: []holdfast.StopState{requested, requested, outcome}}},
		"two that were too late":   {true, Outcome{Status: holdfast.RunComplete, Stops: []holdfast.StopState{holdfast.StopTooLate, holdfast.StopTooLate}}},
		"in vain, and then a run":  {true, Outcome{Status: holdfast.RunStopped, Stops: []holdfast.StopState{requested, holdfast.StopUnreachable, outcome}}},
		"more outcomes than there": {false, Outcome{Status: holdfast.RunStopped, Stops: []holdfast.StopState{requested, outcome, outcome, outcome}}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.out.Check(); (err == nil) != c.good {
				t.Errorf("good should be %v: %v", c.good, err)
			}
		})
	}
}
