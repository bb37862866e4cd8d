package s3api

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the counters of the S3 interface. Those a request touches are looked up once, when
// the server is built, so that counting costs a few atomic adds.
type metrics struct {
	ops      []opMetrics // by route.index
	inFlight atomic.Int64
	errors   *prometheus.CounterVec
	in, out  prometheus.Counter
	rejected prometheus.Counter
	broken   prometheus.Counter
	paused   prometheus.Counter
	panics   prometheus.Counter
	parse    prometheus.Counter
}

// opMetrics are the counters of one operation.
type opMetrics struct {
	byClass [6]prometheus.Counter // index = status / 100
	latency prometheus.Observer
}

// newMetrics registers the metrics of the S3 interface for the given operations.
func newMetrics(reg prometheus.Registerer, ops []string, conns *connSet) *metrics {
	const ns, sub = "holdfast", "s3"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help})
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
		Name: "requests_total", Help: "Requests answered, by operation and class of status code."}, []string{"operation", "class"})
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub,
		Name: "request_seconds", Help: "Time from the request's header to the last byte of the answer handed to the system.",
		Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10, 60}}, []string{"operation"})
	m := &metrics{
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "errors_total", Help: "Errors answered, by S3 error code."}, []string{"code"}),
		in:       counter("received_bytes_total", "Bytes of request bodies received."),
		out:      counter("sent_bytes_total", "Bytes of response bodies sent."),
		rejected: counter("rejected_total", "Requests refused with SlowDown before any work was done."),
		broken:   counter("broken_answers_total", "Answers cut short because stored data could not be read to the end."),
		paused:   counter("paused_answers_total", "Times that an answer gave up what it held, for others that waited, because its client took nothing."),
		panics:   counter("panics_total", "Requests ended by a programming error."),
		parse:    counter("malformed_total", "Messages that were not acceptable HTTP."),
	}
	reg.MustRegister(requests, latency, m.errors, m.in, m.out, m.rejected, m.broken, m.paused, m.panics, m.parse,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
			Name: "requests_in_flight", Help: "Requests being served."}, func() float64 { return float64(m.inFlight.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "connections_cut_total", Help: "Connections without a request that were closed because places ran short."},
			func() float64 { return float64(conns.cuts.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
			Name: "connections", Help: "Open client connections."}, func() float64 { return float64(conns.len()) }))
	for _, op := range ops {
		var o opMetrics
		for class := 1; class < len(o.byClass); class++ {
			o.byClass[class] = requests.WithLabelValues(op, strconv.Itoa(class)+"xx")
		}
		o.latency = latency.WithLabelValues(op)
		m.ops = append(m.ops, o)
	}
	return m
}

// answered counts one finished request.
func (m *metrics) answered(op, status int, took time.Duration, in, out int64) {
	o := &m.ops[op]
	o.byClass[min(max(status/100, 1), 5)].Inc()
	o.latency.Observe(took.Seconds())
	if in > 0 {
		m.in.Add(float64(in))
	}
	if out > 0 {
		m.out.Add(float64(out))
	}
}
