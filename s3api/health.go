package s3api

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/prometheus/common/expfmt"
)

// Paths of the daemon's own pages. No bucket can be called "-".
const (
	ownPrefix    = "/-/"
	aliasPrefix  = "/minio/health/" // what monitors of MinIO ask for
	textPlain    = "text/plain; charset=utf-8"
	headRetry    = "Retry-After"
	retrySeconds = "1"
)

// ownPage answers the daemon's own pages: health and metrics, for anybody. It reports whether the
// path was one of them; all other paths below ownPrefix are not found.
func (s *Server) ownPage(c *call) bool {
	path := c.req.Path
	var page func(*call)
	switch path {
	case "/-/health/live", "/minio/health/live":
		page = func(c *call) { c.text(200, "live\n") }
	case "/-/health/ready", "/minio/health/ready":
		page = s.readyPage
	case "/-/health/cluster":
		page = s.clusterPage
	case "/minio/health/cluster":
		page = func(c *call) { s.quorumPage(c, s.opts.Health.Quorum().WithoutWrite) }
	case "/minio/health/cluster/read":
		page = func(c *call) { s.quorumPage(c, s.opts.Health.Quorum().WithoutRead) }
	case "/-/metrics":
		page = s.metricsPage
	default:
		if len(path) < len(ownPrefix) || path[:len(ownPrefix)] != ownPrefix {
			return false
		}
		page = func(c *call) { c.text(404, "not found\n") }
	}
	if path[1] == 'm' && c.signed() {
		return false // a signed request is for the bucket called "minio"
	}
	c.route = &s.routes.own
	if c.req.Method != "GET" && c.req.Method != "HEAD" {
		c.header("Allow", "GET, HEAD")
		c.text(405, "method not allowed\n")
		return true
	}
	page(c)
	return true
}

func (s *Server) readyPage(c *call) {
	if s.draining.Load() {
		c.text(503, "shutting down\n")
		return
	}
	if err := s.opts.Health.Ready(); err != nil {
		c.header(headRetry, retrySeconds)
		c.text(503, err.Error()+"\n")
		return
	}
	c.text(200, "ready\n")
}

// clusterState is the document of /-/health/cluster.
type clusterState struct {
	Write        bool     `json:"write_quorum"`
	Read         bool     `json:"read_quorum"`
	Sets         int      `json:"sets"`
	WithoutWrite int      `json:"sets_without_write_quorum"`
	WithoutRead  int      `json:"sets_without_read_quorum"`
	DrivesOnline int      `json:"drives_online"`
	Drives       int      `json:"drives"`
	Absent       []string `json:"absent,omitempty"`
	Version      string   `json:"version,omitempty"`
}

func (s *Server) clusterPage(c *call) {
	q := s.opts.Health.Quorum()
	body, err := json.MarshalIndent(clusterState{
		Write: q.WithoutWrite == 0, Read: q.WithoutRead == 0,
		Sets: q.Sets, WithoutWrite: q.WithoutWrite, WithoutRead: q.WithoutRead,
		DrivesOnline: q.DrivesOnline, Drives: q.Drives, Absent: q.Absent, Version: s.opts.Version,
	}, "", "  ")
	if err != nil { // a struct of strings and numbers always encodes
		c.text(500, "internal error\n")
		return
	}
	c.bytes(quorumStatus(max(q.WithoutWrite, q.WithoutRead)), "application/json", append(body, '\n'))
}

func (s *Server) quorumPage(c *call, without int) {
	if without > 0 {
		c.text(503, strconv.Itoa(without)+" erasure sets lack quorum\n")
		return
	}
	c.text(200, "ok\n")
}

func quorumStatus(without int) int {
	if without > 0 {
		return 503
	}
	return 200
}

func (s *Server) metricsPage(c *call) {
	if s.opts.Gatherer == nil {
		c.text(404, "no metrics\n")
		return
	}
	families, err := s.opts.Gatherer.Gather()
	if err != nil {
		s.log.Warn("metrics are incomplete", "err", err) // Gather returns what it could collect
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	var buf bytes.Buffer
	enc := expfmt.NewEncoder(&buf, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			s.log.Warn("metric family left out", "family", f.GetName(), "err", err)
		}
	}
	c.bytes(200, string(format), buf.Bytes())
}
