package metrics

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast/internal/debiantest"
)

var update = flag.Bool("update", false, "write the table in docs/metrics.md anew")

const (
	page      = "../../docs/metrics.md"
	dashboard = "../../deploy/grafana/holdfast.json"
	alerts    = "../../deploy/prometheus/alerts.yml"
)

const header = "| metric | kind | labels | |\n|---|---|---|---|\n"

func rendered() string {
	var b strings.Builder
	b.WriteString(header)
	for _, d := range Table {
		labels := ""
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		b.WriteString(strings.ReplaceAll("| `"+d.Name+"` | "+string(d.Kind)+" | "+labels+" | "+d.Help+" |\n", "|  |", "| |"))
	}
	return b.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocsShowTheTable(t *testing.T) {
	text := read(t, page)
	begin := strings.Index(text, header)
	if begin < 0 {
		t.Fatalf("%s has no table that begins with %q", page, header)
	}
	end := begin + strings.Index(text[begin:]+"\n\n", "\n\n") + 1
	if *update {
		if err := os.WriteFile(page, []byte(text[:begin]+rendered()+text[min(end, len(text)):]), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(rendered(), text[begin:min(end, len(text))]); diff != "" {
		t.Errorf("%s differs from the table; write it anew with -update: %s", page, diff)
	}
}

// The names follow the conventions of Prometheus: a prefix, base units, and _total for what is counted.
func TestNames(t *testing.T) {
	form := regexp.MustCompile(`^holdfast(_[a-z]+)+$`)
	for _, d := range Table {
		total := strings.HasSuffix(d.Name, "_total")
		if !form.MatchString(d.Name) || total != (d.Kind == Counter) || d.Kind == Histogram && !strings.HasSuffix(d.Name, "_seconds") {
			t.Errorf("%s is no name for a %s", d.Name, d.Kind)
		}
		if !strings.HasSuffix(d.Help, ".") {
			t.Errorf("%s: %q is no sentence", d.Name, d.Help)
		}
	}
}

var mentioned = regexp.MustCompile(`\bholdfast_[a-z_]+`)

// What the dashboard and the alerts ask for is there.
func TestDashboardAndAlertsKnowTheNames(t *testing.T) {
	var board any
	if err := json.Unmarshal([]byte(read(t, dashboard)), &board); err != nil {
		t.Fatalf("the dashboard is no JSON: %v", err)
	}
	for _, path := range []string{dashboard, alerts} {
		names := mentioned.FindAllString(read(t, path), -1)
		if len(names) < 5 {
			t.Errorf("%s asks for %d metrics only", path, len(names))
		}
		for _, name := range names {
			known := slices.ContainsFunc(Table, func(d Definition) bool {
				if d.Kind == Histogram {
					return name == d.Name+"_bucket" || name == d.Name+"_sum" || name == d.Name+"_count"
				}
				return name == d.Name
			})
			if !known {
				t.Errorf("%s asks for %s, which is not exported", path, name)
			}
		}
	}
}

func TestPromtoolAcceptsTheAlerts(t *testing.T) {
	tool := debiantest.Find(t, "promtool", "the alert rules")
	if out, err := exec.Command(tool, "check", "rules", alerts).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
