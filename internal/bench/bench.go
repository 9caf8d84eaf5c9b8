// Package bench is a load generator that verifies what it receives. Each scenario drives a server in another process, checks
// that nothing is lost, doubled, out of order or altered, and reports what the operating system says of the server.
//
// # Usage
//
//	target, err := bench.Start(ctx, bench.ServerOptions{Binary: path})
//	defer target.Stop()
//	report, err := bench.Fanout(ctx, target, bench.FanoutOptions{})
//	report.Print(os.Stdout)
//
// # Verification and speed
//
// A generator that shares a machine with the server must cost little, or it measures itself. So most readers do not decode
// frames: they compare bytes. The first reader to receive an offset decodes the frame in full and checks its contents;
// all others must receive the same bytes. Some readers decode everything, with the state that the Go client uses.
package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/holdfast/holdfast"
)

// Figure is one measured number.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Target says what it should be, in words; empty where there is none. Met is set with a target.
	Target string `json:"target,omitempty"`
	Met    *bool  `json:"met,omitempty"`
}

// Report is what a scenario found out. It may be written to by many goroutines.
type Report struct {
	scenario string
	begun    time.Time

	mu       sync.Mutex
	settings map[string]any
	figures  []Figure
	failures []string
	failed   int
}

// maxFailures bounds the failures that are kept: when something is wrong it often is for thousands of readers.
const maxFailures = 20

func newReport(scenario string, settings map[string]any) *Report {
	return &Report{scenario: scenario, begun: time.Now(), settings: settings}
}

func (r *Report) add(name string, value float64, unit string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.figures = append(r.figures, Figure{Name: name, Value: value, Unit: unit})
}

// atMost adds a figure that should not be over a bound, atLeast one that should not be under it. Missing a target is not
// a failure: how fast a machine is says nothing about whether the server is right.
func (r *Report) atMost(name string, value, bound float64, unit string) {
	r.target(name, value, unit, fmt.Sprintf("<= %.6g", bound), value <= bound)
}

func (r *Report) atLeast(name string, value, bound float64, unit string) {
	r.target(name, value, unit, fmt.Sprintf(">= %.6g", bound), value >= bound)
}

func (r *Report) target(name string, value float64, unit, target string, met bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.figures = append(r.figures, Figure{Name: name, Value: value, Unit: unit, Target: target, Met: &met})
}

// fail notes that something received was not what was sent.
func (r *Report) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	if len(r.failures) < maxFailures {
		r.failures = append(r.failures, err.Error())
	}
}

// Failed is how many violations were found.
func (r *Report) Failed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// JSON writes the report as one JSON object.
func (r *Report) JSON(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{
		"scenario": r.scenario, "begun": r.begun.UTC().Format(time.RFC3339), "seconds": time.Since(r.begun).Seconds(),
		"cpus": runtime.NumCPU(), "settings": r.settings, "figures": r.figures, "violations": r.failed, "failures": r.failures,
	})
}

// Print writes the report as a table for people.
func (r *Report) Print(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s\t%d CPUs\t%.0f s\t\n", r.scenario, runtime.NumCPU(), time.Since(r.begun).Seconds())
	for _, f := range r.figures {
		met := ""
		if f.Met != nil {
			met = map[bool]string{true: "ok", false: "MISSED"}[*f.Met] + " (" + f.Target + ")"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", f.Name, number(f.Value), f.Unit, met)
	}
	fmt.Fprintf(t, "  violations\t%d\t\t\n", r.failed)
	for _, f := range r.failures {
		fmt.Fprintf(t, "    %s\n", f)
	}
	return t.Flush()
}

// number writes large numbers in groups of three digits and small ones with some precision.
func number(v float64) string {
	if v < 1000 && v > -1000 {
		return fmt.Sprintf("%.4g", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func violation(format string, args ...any) error {
	return holdfast.Errorf(holdfast.CodeInternal, format, args...)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

const kib = 1024.0
