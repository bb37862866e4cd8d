package raftfsm

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/raftfsm/cluster"
)

// Status is how the control plane of a node is doing.
type Status struct {
	Leader  bool
	Applied uint64 // index of the newest state that was applied
	InForce uint64 // index of the state in force
	Needed  int    // copies that a change needs
	Copies  []CopyStatus
	Dir     string // where the raft directory is
	LogErr  error  // why the raft log takes no more writes; nil = it does
}

// CopyStatus is how one drive's copy is doing.
type CopyStatus struct {
	Drive cluster.DriveID
	Index uint64 // what it holds durably, as far as known
	Err   error  // why the last write failed; nil = in service
}

// Status looks at the node.
func (n *Node) Status() Status {
	now := n.server.Load()
	s := Status{Leader: now.leads(), Dir: now.dir.path, LogErr: now.dir.log.Err(), InForce: n.State().Index(), Needed: n.o.W}
	s.Applied, s.Copies = n.mirror.status()
	return s
}

func (m *mirror) status() (applied uint64, copies []CopyStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, w := range m.workers {
		c := CopyStatus{Drive: id, Err: w.err}
		if w.synced != nil {
			c.Index = w.synced.Index()
		}
		copies = append(copies, c)
	}
	return m.target.Index(), copies
}

// metrics are what a node shows of itself.
type metrics struct {
	node    *Node
	changes *prometheus.CounterVec
	seconds prometheus.Histogram

	leader, applied, inForce, needed, copies *prometheus.Desc
}

func newMetrics(n *Node) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("holdfast_raftfsm_"+name, help, labels, nil)
	}
	return &metrics{
		node: n,
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_raftfsm_changes_total", Help: "Configuration changes asked for, by result.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "holdfast_raftfsm_change_seconds", Help: "Time from asking for a configuration change to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		leader:  desc("leader", "1 if this node leads, 0 if not."),
		applied: desc("applied_index", "Log index of the newest configuration that was applied."),
		inForce: desc("in_force_index", "Log index of the configuration in force."),
		needed:  desc("copies_needed", "Drives that must hold a configuration change before it is answered."),
		copies:  desc("copies", "Drives that hold a copy of the configuration, by state.", "state"),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.changes.Describe(ch)
	m.seconds.Describe(ch)
	for _, d := range []*prometheus.Desc{m.leader, m.applied, m.inForce, m.needed, m.copies} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.changes.Collect(ch)
	m.seconds.Collect(ch)
	s := m.node.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	lead := 0.0
	if s.Leader {
		lead = 1
	}
	gauge(m.leader, lead)
	gauge(m.applied, float64(s.Applied))
	gauge(m.inForce, float64(s.InForce))
	gauge(m.needed, float64(s.Needed))
	count := map[string]int{"current": 0, "behind": 0, "failing": 0}
	for _, c := range s.Copies {
		switch {
		case c.Err != nil:
			count["failing"]++
		case c.Index < s.Applied:
			count["behind"]++
		default:
			count["current"]++
		}
	}
	for state, n := range count {
		gauge(m.copies, float64(n), state)
	}
}

// observe counts one change.
func (m *metrics) observe(start time.Time, err error) {
	result := "refused"
	switch {
	case err == nil:
		result = "done"
	case errors.Is(err, cluster.ErrOutcomeUnknown):
		result = "unknown"
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrControlQuorum):
		result = "unavailable"
	}
	m.changes.WithLabelValues(result).Inc()
	m.seconds.Observe(time.Since(start).Seconds())
}

// register shows the node's metrics on the registry it was given, if any.
func (n *Node) register() error {
	if n.o.Metrics == nil {
		return nil
	}
	if err := n.o.Metrics.Register(n.metrics); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// unregister lets the node be opened again on the same registry.
func (n *Node) unregister() {
	if n.o.Metrics != nil {
		n.o.Metrics.Unregister(n.metrics)
	}
}
