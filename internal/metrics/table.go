package metrics

import (
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
)

// Kind is what a metric is.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Definition is one metric.
type Definition struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string
	// Known are values of the labels that exist from the start.
	Known [][]string
	// Polled: somebody else counts, and is asked when the metrics are read, as for gauges.
	Polled bool
	// Buckets are those of a histogram.
	Buckets []float64
}

// The names.
const (
	Ready       = "holdfast_ready"
	Connections = "holdfast_connections"
	Users       = "holdfast_users"
	Sessions    = "holdfast_sessions"
	Readings    = "holdfast_readings"
	Lagging     = "holdfast_lagging_connections"
	Lag         = "holdfast_lag_entries"
	Revocations = "holdfast_revocations"
	Limit       = "holdfast_limit"

	Attaches  = "holdfast_attaches_total"
	Attach    = "holdfast_attach_seconds"
	Ends      = "holdfast_connection_ends_total"
	Age       = "holdfast_connection_age_seconds"
	Bytes     = "holdfast_connection_bytes_total"
	Resumes   = "holdfast_resume_total"
	Away      = "holdfast_away_seconds"
	Flapping  = "holdfast_flapping_total"
	Conflicts = "holdfast_place_conflicts_total"
	Fights    = "holdfast_place_fights_total"
	Delivery  = "holdfast_delivery_seconds"
	Commit    = "holdfast_store_commit_seconds"
	Errors    = "holdfast_store_errors_total"
	Entries   = "holdfast_entries_total"
	Fragments = "holdfast_fragments_total"
	Runs      = "holdfast_runs_ended_total"
	Leases    = "holdfast_leases_expired_total"
	Stops     = "holdfast_stops_total"
)

var (
	fast = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}
	slow = []float64{.1, .3, 1, 3, 10, 30, 60, 300, 900, 3600, 14400, 86400}
)

// Table is all of them. docs/metrics.md shows it, and a test holds the two together.
var Table = []Definition{
	{Name: Ready, Kind: Gauge, Help: "1 while the server takes connections."},
	{Name: Connections, Kind: Gauge, Help: "Living connections that are somebody's."},
	{Name: Users, Kind: Gauge, Help: "Users that have a connection."},
	{Name: Sessions, Kind: Gauge, Help: "Sessions that are held in memory because somebody reads them, or did lately."},
	{Name: Readings, Kind: Gauge, Help: "Readings of sessions by connections."},
	{Name: Lagging, Kind: Gauge, Help: "Connections that were not written everything there is, among at most 2,000."},
	{Name: Lag, Kind: Gauge, Help: "Entries that the one of them that is furthest behind was not written."},
	{Name: Revocations, Kind: Gauge, Help: "Revocations that are kept."},
	{Name: Limit, Kind: Gauge, Labels: []string{"name"}, Help: "Times, sizes and rates that bind this server; durations in seconds."},

	{Name: Attaches, Kind: Counter, Known: [][]string{{}}, Help: "Connections that became somebody's."},
	{Name: Attach, Kind: Histogram, Known: [][]string{{}}, Buckets: fast, Help: "From a client's hello or take, verified, to the answer."},
	{Name: Ends, Kind: Counter, Labels: []string{"class", "by"}, Known: endKinds(), Help: "Connections that ended; the classes are those of the log."},
	{Name: Age, Kind: Histogram, Known: [][]string{{}}, Buckets: slow, Help: "How long connections lived that were somebody's."},
	{Name: Bytes, Kind: Counter, Labels: []string{"direction"}, Known: [][]string{{"in"}, {"out"}}, Help: "Bytes of the messages of connections, counted when they end."},
	{Name: Resumes, Kind: Counter, Labels: []string{"outcome"}, Known: outcomes(), Help: "Subscriptions with a cursor, by how they were answered."},
	{Name: Away, Kind: Histogram, Labels: []string{"class"}, Known: classes(), Buckets: slow, Help: "How long clients that came back had no connection, by how the one before ended."},
	{Name: Flapping, Kind: Counter, Known: [][]string{{}}, Help: "Times that a client came back more than 6 times within a minute."},
	{Name: Conflicts, Kind: Counter, Labels: []string{"outcome"}, Polled: true, Help: "Connections to which rules on connections did something: evicted, demoted (to reading), dropped (found to be dead), refused, or asked for their user's word."},
	{Name: Fights, Kind: Counter, Polled: true, Help: "Times that the windows of one user began to take places from each other again and again, and were slowed down."},
	{Name: Delivery, Kind: Histogram, Known: [][]string{{}}, Buckets: fast, Help: "From when something was durable until it was written to the sockets of its readers that take it: the longest of each round of writing."},
	{Name: Commit, Kind: Histogram, Labels: []string{"durability"}, Buckets: fast, Help: "How long the store took to make one operation durable."},
	{Name: Errors, Kind: Counter, Known: [][]string{{}}, Help: "Operations that the store could not do, for no fault of the caller."},
	{Name: Entries, Kind: Counter, Labels: []string{"kind"}, Known: [][]string{{"message"}, {"run"}, {"state"}, {"event"}}, Help: "Entries written."},
	{Name: Fragments, Kind: Counter, Known: [][]string{{}}, Help: "Fragments of runs written."},
	{Name: Runs, Kind: Counter, Labels: []string{"status"}, Known: [][]string{{"complete"}, {"stopped"}, {"failed"}, {"interrupted"}}, Help: "Runs that ended."},
	{Name: Leases, Kind: Counter, Known: [][]string{{}}, Help: "Runs that lost their producer and were interrupted."},
	{Name: Stops, Kind: Counter, Labels: []string{"state"}, Known: [][]string{{"requested"}, {"stopped"}, {"too_late"}, {"unreachable"}}, Help: "Stops of runs, as they were asked for and as they came out."},
}

func classes() (all [][]string) {
	for _, c := range ending.Classes {
		all = append(all, []string{string(c)})
	}
	return all
}

func endKinds() (all [][]string) {
	for _, c := range ending.Classes {
		for _, by := range []ending.Initiator{ending.ByClient, ending.ByServer, ending.ByNetwork} {
			all = append(all, []string{string(c), string(by)})
		}
	}
	return slices.Clip(all)
}

func outcomes() (all [][]string) {
	for _, o := range []holdfast.Outcome{holdfast.Continuous, holdfast.Snapshot, holdfast.Lost, holdfast.Denied} {
		all = append(all, []string{string(o)})
	}
	return all
}
