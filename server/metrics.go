package server

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/metrics"
	"github.com/holdfast/holdfast/store/driver"
)

// Metrics answers with the server's metrics in Prometheus' text format. They say how much is going on, and of whom nothing; put
// them where the public does not come.
func (s *Server) Metrics() http.Handler { return s.metrics.Handler() }

// lagSample is how many connections are looked at for their lag, when metrics are read.
const lagSample = 2000

func (s *Server) measure() metrics.Now {
	n := metrics.Now{Ready: s.welcoming(), Revocations: len(s.revoked.List()), Limits: s.numbers()}
	n.Connections, n.Users = s.hub.Census()
	n.Sessions, n.Readings = s.hub.Topics()
	c := s.hub.Conflicts()
	n.Fights = c.Flapping
	n.Conflicts = map[string]uint64{
		"evicted": c.Evicted, "demoted": c.Demoted, "dropped": c.Dropped, "refused": c.Refused, "asked": c.Asked,
	}
	for _, c := range s.hub.All(lagSample) {
		most := 0
		for _, p := range c.Describe().Positions {
			most = max(most, int(p.Head-p.Offset))
		}
		if most > 0 {
			n.Lagging++
		}
		n.Lag = max(n.Lag, most)
	}
	return n
}

// numbers are the limits that bind this server.
func (s *Server) numbers() map[string]float64 {
	o := &s.opts
	l := s.gate.Limits()
	return map[string]float64{
		"hello_timeout_seconds": o.HelloTimeout.Seconds(), "beat_seconds": o.Beat.Seconds(), "rest_seconds": o.Rest.Seconds(),
		"write_timeout_seconds": o.WriteTimeout.Seconds(), "lease_seconds": o.Lease.Seconds(), "stop_grace_seconds": o.StopGrace.Seconds(),
		"drain_seconds": o.Drain.Seconds(), "revocation_age_seconds": o.RevocationAge.Seconds(), "max_data_bytes": float64(o.MaxData),
		"sessions_per_connection": float64(o.MaxSubs), "frames_per_second": o.Rate, "frames_burst": float64(o.Burst),
		"connections": float64(l.Node.Connections), "connections_per_user": float64(l.User.Connections),
		"connections_per_address": float64(l.Address.Connections), "attaches_per_second": l.Node.Attaches,
		"attaches_per_second_per_user": l.User.Attaches, "attaches_per_second_per_address": l.Address.Attaches,
		"frames_per_second_per_user": l.User.Frames, "frames_per_second_per_address": l.Address.Frames,
		"bytes_per_second": l.Connection.Bytes, "bytes_per_second_per_user": l.User.Bytes, "bytes_per_second_per_address": l.Address.Bytes,
		"sessions_per_user": float64(l.User.Sessions),
	}
}

// count takes a change into the metrics. It is called by the store's watcher, and quick.
func (s *Server) count(ch *driver.Change) {
	m := s.metrics
	for i := range ch.Items {
		it := &ch.Items[i]
		if it.Entry != nil {
			m.Add(metrics.Entries, 1, string(it.Entry.Kind))
		}
		if it.Stop != nil {
			m.Add(metrics.Stops, 1, string(it.Stop.State))
		}
		if it.Fragments != nil {
			m.Add(metrics.Fragments, float64(len(it.Fragments.Fragments)))
		}
		if it.End != nil {
			m.Add(metrics.Runs, 1, string(it.End.Status))
		}
	}
}

// countEnd takes the end of a connection into the metrics.
func (s *Server) countEnd(r *ending.Record) {
	m := s.metrics
	m.Add(metrics.Ends, 1, string(r.Class()), string(r.By))
	m.Add(metrics.Bytes, float64(r.In), "in")
	m.Add(metrics.Bytes, float64(r.Out), "out")
	if r.Attached {
		m.Observe(metrics.Age, r.Age)
	}
}

// How often a client comes back before it is said to flap: flapBurst times at once, and one more every flapEvery.
const (
	flapBurst = 6
	flapEvery = 10 * time.Second
)

// countReturn takes a client that came back into the metrics.
func (s *Server) countReturn(r *ending.Return) {
	s.metrics.Observe(metrics.Away, r.Away, string(r.Class))
	if _, ok := s.flaps.Take(string(r.User) + " " + string(r.Client)); !ok {
		s.metrics.Add(metrics.Flapping, 1)
		s.opts.Logger.Debug("a client comes back again and again", "user", r.User, "client", r.Client, "conn", r.Conn, "ended_as", string(r.Class))
	}
}

// countAttach takes the time of an attach into the metrics, and into the pace at which clients may come.
func (s *Server) countAttach(took time.Duration) {
	s.pace.Attached(s.opts.Now(), took)
	s.metrics.Add(metrics.Attaches, 1)
	s.metrics.Observe(metrics.Attach, took)
}

func (s *Server) countAnswer(outcome holdfast.Outcome, resume bool) {
	if resume {
		s.metrics.Add(metrics.Resumes, 1, string(outcome))
	}
}

// timed measures a store.
type timed struct {
	driver.Driver
	srv *Server
}

// Apply implements driver.Driver.
func (t timed) Apply(ctx context.Context, id holdfast.SessionID, op driver.Op) (driver.Result, error) {
	began := time.Now()
	res, err := t.Driver.Apply(ctx, id, op)
	switch holdfast.CodeOf(err) {
	case "":
		t.srv.metrics.Observe(metrics.Commit, time.Since(began), string(t.Durability()))
	case holdfast.CodeInternal, holdfast.CodeUnavailable:
		if t.srv.is() != gone { // after that it is another server's, and whoever comes is sent there
			t.srv.metrics.Add(metrics.Errors, 1)
		}
	}
	return res, err
}
