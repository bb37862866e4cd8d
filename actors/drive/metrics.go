package drive

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are one drive's. Their labels are the drive's id and path, so all drives of a process
// share a registry.
type metrics struct {
	registry   prometheus.Registerer
	all        []prometheus.Collector
	batchOps   prometheus.Histogram
	syncTime   prometheus.Histogram
	written    *prometheus.CounterVec
	read       *prometheus.CounterVec
	errors     *prometheus.CounterVec
	writeBytes struct{ index, data prometheus.Counter }
	readBytes  struct{ index, data prometheus.Counter }
}

func newMetrics(a *Actor) *metrics {
	labels := prometheus.Labels{"drive": a.id.String(), "path": a.path}
	m := &metrics{registry: a.o.Registry}
	m.batchOps = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "holdfast_drive_batch_operations", Help: "Operations written by one group commit.",
		ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(1, 2, 10),
	})
	m.syncTime = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "holdfast_drive_sync_seconds", Help: "Time to make one batch of the index durable.",
		ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
	})
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, []string{label})
		m.all = append(m.all, c)
		return c
	}
	m.written = vec("holdfast_drive_written_bytes_total", "Bytes written, by where they go.", "to")
	m.read = vec("holdfast_drive_read_bytes_total", "Shard bytes read, by where they lie.", "from")
	m.errors = vec("holdfast_drive_errors_total", "Errors and refusals, by kind.", "kind")
	m.writeBytes.index, m.writeBytes.data = m.written.WithLabelValues("index"), m.written.WithLabelValues("segments")
	m.readBytes.index, m.readBytes.data = m.read.WithLabelValues("index"), m.read.WithLabelValues("segments")
	gauge := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
	gauge("holdfast_drive_mailbox_depth", "Messages waiting for the writer loop.", func() float64 { return float64(a.mail.Depth()) })
	counter := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
	counter("holdfast_drive_mailbox_refused_total", "Messages refused because the mailbox was full.", func() float64 { return float64(a.mail.Refused()) })
	gauge("holdfast_drive_working_ratio", "Part of recent time that the writer loop worked.", a.sat.Fraction)
	gauge("holdfast_drive_readers", "Reads that run now.", func() float64 { return float64(len(a.readers)) })
	gauge("holdfast_drive_unstable_versions", "Versions accepted and not known stable.", func() float64 {
		a.mu.RLock()
		defer a.mu.RUnlock()
		return float64(len(a.pending))
	})
	gauge("holdfast_drive_capacity_bytes", "Size of the drive's file system.", func() float64 { return float64(a.space.capacity.Load()) })
	gauge("holdfast_drive_free_bytes", "Free bytes of the drive's file system.", func() float64 { return float64(a.space.left()) })
	gauge("holdfast_drive_used_bytes", "Bytes that the drive's own files take on its file system: index, logs, segments with what in them awaits the next writer, ballast.", func() float64 { return float64(a.space.used.Load()) })
	gauge("holdfast_drive_live_bytes", "Bytes in segments that objects and uploads refer to.", func() float64 { return float64(a.store.Stats().Live) })
	counter("holdfast_drive_read_errors_total", "Reads that the system answered with an error.", func() float64 { return float64(a.health.ReadErrors()) })
	gauge("holdfast_drive_journal_bytes", "Bytes of the journal's files.", func() float64 { return float64(a.journal.Stats().Bytes) })
	gauge("holdfast_drive_journal_live_bytes", "Bytes of small shards in the journal that rows refer to.", func() float64 { return float64(a.journal.Stats().Live) })
	gauge("holdfast_drive_full", "1 while the drive is at its reserve and refuses new data.", func() float64 {
		if full, _ := a.space.seems(); full {
			return 1
		}
		return 0
	})
	gauge("holdfast_drive_up", "1 while the drive is in service.", func() float64 {
		if a.health.Err() != nil || a.pulse.silent() {
			return 0
		}
		return 1
	})
	m.all = append(m.all, m.batchOps, m.syncTime)
	if m.registry != nil {
		for _, c := range m.all {
			if err := m.registry.Register(c); err != nil {
				a.log.Warn("registering a metric", "err", err)
			}
		}
	}
	return m
}

// close takes the drive's metrics off the registry, so that it may be opened again.
func (m *metrics) close() {
	if m.registry == nil {
		return
	}
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}

func (m *metrics) batch(ops int) {
	if ops > 0 {
		m.batchOps.Observe(float64(ops))
	}
}

func (m *metrics) synced(took time.Duration, bytes int) {
	m.syncTime.Observe(took.Seconds())
	m.writeBytes.index.Add(float64(bytes))
}

func (m *metrics) error(kind string) { m.errors.WithLabelValues(kind).Inc() }
