package erasureset

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/actors/slab"
)

// metrics count what the protocol had to do beyond the plain way.
type metrics struct {
	restamps, degraded, hedges, damaged, reconstructed, resolves, collected, healed prometheus.Counter
	debtObjects, debtBytes                                                          prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "holdfast", Subsystem: "objects", Name: name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "holdfast", Subsystem: "redundancy_debt", Name: name, Help: help})
		if reg != nil {
			reg.MustRegister(g)
		}
		return g
	}
	m := &metrics{
		restamps:      counter("restamps_total", "Writes offered again under a newer stamp."),
		degraded:      counter("degraded_writes_total", "Versions marked stable that some drive of their set missed."),
		hedges:        counter("hedges_total", "Answers that came so late that another drive was asked."),
		damaged:       counter("damaged_shards_total", "Shards found missing or damaged by a read."),
		reconstructed: counter("reconstructed_rows_total", "Rows of shards decoded with the help of parity."),
		resolves:      counter("resolves_total", "Keys whose unfinished versions were resolved."),
		collected:     counter("collected_tombstones_total", "Tombstones dropped by every member of their set."),
		healed:        counter("healed_total", "Keys that a drive had missed and has got."),
		debtObjects:   gauge("objects", "Objects that some drive of their set lacks."),
		debtBytes:     gauge("bytes", "Bytes of shards that drives lack."),
	}
	if reg != nil {
		for side, pool := range map[string]*slab.Pool{"write": s.slabs, "read": s.readSlabs} {
			gauge := func(name, help string, value func(slab.Stats) float64) {
				reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
					Namespace: "holdfast", Subsystem: "slabs", Name: name, Help: help, ConstLabels: prometheus.Labels{"side": side},
				}, func() float64 { return value(pool.Stats()) }))
			}
			gauge("used_bytes", "Bytes of buffers handed out.", func(st slab.Stats) float64 { return float64(st.InUse) })
			gauge("cached_bytes", "Bytes of buffers kept for reuse.", func(st slab.Stats) float64 { return float64(st.Cached) })
			gauge("waiting", "Operations that wait for buffers.", func(st slab.Stats) float64 { return float64(st.Waiting) })
		}
	}
	return m
}
