// Package metrics is what a server counts and measures, in the form that Prometheus reads. It is the only importer of its
// library, so that another can take its place.
//
// # Concurrency
//
// All methods may be called at any time. A nil Metrics counts nothing.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of one server.
type Metrics struct {
	// counted has what is counted and measured, asked what is found out when somebody asks.
	counted, asked *prometheus.Registry
	counters       map[string]*prometheus.CounterVec
	histograms     map[string]*prometheus.HistogramVec
}

// Now is what a server is like at the moment. Lag is in entries.
type Now struct {
	Ready                                  bool
	Connections, Users, Sessions, Readings int
	Lagging, Lag                           int
	Revocations                            int
	// Limits are the numbers that bind this server, by name.
	Limits map[string]float64
	// Conflicts are those of [Conflicts], by outcome, and Fights those of [Fights], since the start.
	Conflicts map[string]uint64
	Fights    uint64
}

// New returns metrics that ask now what the server is like when they are read.
func New(now func() Now) *Metrics {
	m := &Metrics{
		counted: prometheus.NewRegistry(), asked: prometheus.NewRegistry(),
		counters: map[string]*prometheus.CounterVec{}, histograms: map[string]*prometheus.HistogramVec{},
	}
	for _, d := range Table {
		switch {
		case d.polled(): // asked for
		case d.Kind == Counter:
			c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
			m.counters[d.Name] = c
			m.counted.MustRegister(c)
		default:
			h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.Buckets}, d.Labels)
			m.histograms[d.Name] = h
			m.counted.MustRegister(h)
		}
		m.begin(&d)
	}
	m.asked.MustRegister(&polled{now}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// begin makes the series whose labels are known, so that a rate over them begins at zero and not with the first event.
func (m *Metrics) begin(d *Definition) {
	if d.polled() {
		return
	}
	for _, values := range d.Known {
		if d.Kind == Counter {
			m.counters[d.Name].WithLabelValues(values...)
		} else {
			m.histograms[d.Name].WithLabelValues(values...)
		}
	}
}

// Handler answers with the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{m.counted, m.asked}, promhttp.HandlerOpts{})
}

// Totals are what was counted, by the names of metrics: of a counter the sum over its labels, of a histogram how often it was
// measured. It asks for no gauges, which is what costs.
func (m *Metrics) Totals() map[string]int64 {
	if m == nil {
		return nil
	}
	all := map[string]int64{}
	// The only failure is that of a collector that is inconsistent with itself; these are the library's own.
	families, _ := m.counted.Gather()
	for _, f := range families {
		sum := 0.0
		for _, series := range f.GetMetric() {
			sum += series.GetCounter().GetValue() + float64(series.GetHistogram().GetSampleCount())
		}
		all[f.GetName()] = int64(sum)
	}
	return all
}

// Add adds to a counter.
func (m *Metrics) Add(name string, n float64, labels ...string) {
	if m != nil {
		m.counters[name].WithLabelValues(labels...).Add(n)
	}
}

// Observe takes a duration into a histogram.
func (m *Metrics) Observe(name string, d time.Duration, labels ...string) {
	if m != nil {
		m.histograms[name].WithLabelValues(labels...).Observe(d.Seconds())
	}
}

// polled is what is asked for when it is read.
type polled struct{ now func() Now }

func (d *Definition) polled() bool { return d.Kind == Gauge || d.Polled }

var descriptions = func() map[string]*prometheus.Desc {
	all := map[string]*prometheus.Desc{}
	for _, d := range Table {
		if d.polled() {
			all[d.Name] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
		}
	}
	return all
}()

// Describe implements prometheus.Collector.
func (p *polled) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (p *polled) Collect(ch chan<- prometheus.Metric) {
	n := p.now()
	ready := 0
	if n.Ready {
		ready = 1
	}
	for name, v := range map[string]int{
		Ready: ready, Connections: n.Connections, Users: n.Users, Sessions: n.Sessions, Readings: n.Readings, Lagging: n.Lagging,
		Lag: n.Lag, Revocations: n.Revocations,
	} {
		ch <- prometheus.MustNewConstMetric(descriptions[name], prometheus.GaugeValue, float64(v))
	}
	for limit, v := range n.Limits {
		ch <- prometheus.MustNewConstMetric(descriptions[Limit], prometheus.GaugeValue, v, limit)
	}
	for outcome, v := range n.Conflicts {
		ch <- prometheus.MustNewConstMetric(descriptions[Conflicts], prometheus.CounterValue, float64(v), outcome)
	}
	ch <- prometheus.MustNewConstMetric(descriptions[Fights], prometheus.CounterValue, float64(n.Fights))
}
