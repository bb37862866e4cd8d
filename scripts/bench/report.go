package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// report holds all figures of one invocation.
type report struct {
	Started time.Time
	cfg     *config
	targets []*target
	idle    []usage // before the first workload
	rows    []*row
}

func rate(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// speed is what ratios compare: keys for a listing, because servers may cut pages differently, else operations.
func (s *sample) speed() float64 {
	if s.items > 0 {
		return rate(s.items, s.elapsed)
	}
	return rate(s.ops, s.elapsed)
}

// serverCost is the server's processor time per unit of speed.
func (s *sample) serverCost() float64 {
	n := s.ops
	if s.items > 0 {
		n = s.items
	}
	if n == 0 {
		return 0
	}
	return float64(s.serverCPU) / float64(n)
}

func perOp(d time.Duration, ops int64) time.Duration {
	if ops == 0 {
		return 0
	}
	return d / time.Duration(ops)
}

// round3 keeps three significant digits of a duration.
func round3(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// find returns the targets' places: B and the ceiling are -1 when not measured.
func (r *report) places() (b, ceiling int) {
	b, ceiling = -1, -1
	if r.cfg.b.url != "" {
		b = 1
	}
	if r.cfg.ceiling {
		ceiling = len(r.targets) - 1
	}
	return b, ceiling
}

// writeTable prints Markdown that is aligned for a terminal too.
func (r *report) writeTable(out io.Writer) error {
	b, ceiling := r.places()
	head := []string{"work", "conn"}
	for i, t := range r.targets {
		if i == ceiling {
			continue
		}
		head = append(head, t.name+" ops/s", "MiB/s", "p50", "p99", "CPU/op", "client/op", "err")
	}
	if b > 0 {
		head = append(head, "ops "+r.targets[0].name+"/"+r.targets[b].name, "CPU ratio")
	}
	if ceiling > 0 {
		head = append(head, "ceiling ops/s", "its CPU/op", r.targets[0].name+"/ceiling")
	}
	table := [][]string{head}
	for _, row := range r.rows {
		table = append(table, r.line(row, b, ceiling))
	}
	if err := writeMarkdown(out, table); err != nil {
		return err
	}
	if err := writeMarkdown(out, r.memory(ceiling)); err != nil {
		return err
	}
	return writeMarkdown(out, r.interference(ceiling))
}

func (r *report) line(row *row, b, ceiling int) []string {
	l := []string{row.w.name, fmt.Sprint(row.w.conc)}
	a := &row.cells[0].total
	for i, c := range row.cells {
		if i == ceiling {
			continue
		}
		s := &c.total
		ops := fmt.Sprintf("%.0f", rate(s.ops, s.elapsed))
		if s.ops < 100*int64(s.elapsed.Seconds()) {
			ops = fmt.Sprintf("%.2f", rate(s.ops, s.elapsed))
		}
		if s.items > 0 {
			ops += fmt.Sprintf(" (%.0f keys/s)", rate(s.items, s.elapsed))
		}
		l = append(l, ops, fmt.Sprintf("%.1f", rate(s.bytes, s.elapsed)/mib),
			round3(s.hist.percentile(.5)).String(), round3(s.hist.percentile(.99)).String(),
			duration(perOp(s.serverCPU, s.ops)), duration(perOp(s.clientCPU, s.ops)), fmt.Sprint(s.errs))
	}
	if b > 0 {
		o := &row.cells[b].total
		l = append(l, ratio(a.speed(), o.speed()), ratio(a.serverCost(), o.serverCost()))
	}
	if ceiling > 0 {
		o := &row.cells[ceiling].total
		l = append(l, fmt.Sprintf("%.0f", rate(o.ops, o.elapsed)), duration(perOp(o.serverCPU, o.ops)), ratio(a.speed(), o.speed()))
	}
	return l
}

func duration(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return round3(d).String()
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g", a/b)
}

// memory is empty when no process was named.
func (r *report) memory(ceiling int) [][]string {
	table := [][]string{{"memory", "RSS before", "RSS after", "peak RSS"}}
	for i, t := range r.targets {
		if i == ceiling || t.pid == 0 || len(r.rows) == 0 {
			continue
		}
		last := r.rows[len(r.rows)-1].cells[i].mem
		table = append(table, []string{t.name, mebibytes(r.idle[i].rss), mebibytes(last.rss), mebibytes(last.peakRSS)})
	}
	return table
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/mib) }

// interference sets each "-beside" workload against the same work alone.
func (r *report) interference(ceiling int) [][]string {
	table := [][]string{{"interference", "server", "p99 alone", "p99 beside", "p99 ratio", "ops/s alone", "ops/s beside", "share", "streams MiB/s"}}
	for _, beside := range r.rows {
		name, ok := strings.CutSuffix(beside.w.name, "-beside")
		if !ok {
			continue
		}
		for _, alone := range r.rows {
			if alone.w.name != name {
				continue
			}
			for i, t := range r.targets {
				if i == ceiling {
					continue
				}
				x, y := &alone.cells[i].total, &beside.cells[i].total
				p, q := x.hist.percentile(.99), y.hist.percentile(.99)
				u, v := rate(x.ops, x.elapsed), rate(y.ops, y.elapsed)
				table = append(table, []string{name, t.name, round3(p).String(), round3(q).String(), ratio(float64(q), float64(p)),
					fmt.Sprintf("%.0f", u), fmt.Sprintf("%.0f", v), ratio(v, u), fmt.Sprintf("%.1f", float64(y.beside)/mib)})
			}
		}
	}
	return table
}

// writeMarkdown prints nothing for a table of a head alone.
func writeMarkdown(out io.Writer, table [][]string) error {
	if len(table) < 2 {
		return nil
	}
	width := make([]int, len(table[0]))
	for _, l := range table {
		for i, s := range l {
			width[i] = max(width[i], len(s))
		}
	}
	var sb strings.Builder
	for n, l := range table {
		for i, s := range l {
			fmt.Fprintf(&sb, "| %-*s ", width[i], s)
		}
		sb.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				sb.WriteString("|" + strings.Repeat("-", w+2))
			}
			sb.WriteString("|\n")
		}
	}
	sb.WriteString("\n")
	_, err := io.WriteString(out, sb.String())
	return err
}

// figures is one measurement as JSON; durations are in microseconds.
type figures struct {
	Ops         int64   `json:"ops"`
	Errors      int64   `json:"errors"`
	Seconds     float64 `json:"seconds"`
	OpsPerSec   float64 `json:"ops_per_s"`
	MiBPerSec   float64 `json:"mib_per_s"`
	KeysPerSec  float64 `json:"keys_per_s,omitempty"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	Max         float64 `json:"max_us"`
	ServerPerOp float64 `json:"server_cpu_us_per_op"`
	ClientPerOp float64 `json:"client_cpu_us_per_op"`
}

func (s *sample) figures() figures {
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return figures{
		Ops: s.ops, Errors: s.errs, Seconds: s.elapsed.Seconds(),
		OpsPerSec: rate(s.ops, s.elapsed), MiBPerSec: rate(s.bytes, s.elapsed) / mib, KeysPerSec: rate(s.items, s.elapsed),
		P50: us(s.hist.percentile(.5)), P99: us(s.hist.percentile(.99)), Max: us(s.hist.max()),
		ServerPerOp: us(perOp(s.serverCPU, s.ops)), ClientPerOp: us(perOp(s.clientCPU, s.ops)),
	}
}

// writeJSON writes every round and every total.
func (r *report) writeJSON(path string, out io.Writer) error {
	type targetJSON struct {
		Name    string    `json:"name"`
		Total   figures   `json:"total"`
		Rounds  []figures `json:"rounds"`
		RSS     int64     `json:"rss_bytes"`
		PeakRSS int64     `json:"peak_rss_bytes"`
	}
	type rowJSON struct {
		Work        string       `json:"work"`
		Connections int          `json:"connections"`
		ObjectSize  int          `json:"object_size"`
		Targets     []targetJSON `json:"targets"`
	}
	doc := struct {
		Started  time.Time     `json:"started"`
		CPUs     int           `json:"cpus"`
		Duration time.Duration `json:"duration_ns"`
		Verify   bool          `json:"verify"`
		Rows     []rowJSON     `json:"rows"`
	}{Started: r.Started, CPUs: runtime.NumCPU(), Duration: r.cfg.duration, Verify: r.cfg.verify}
	for _, row := range r.rows {
		rj := rowJSON{Work: row.w.name, Connections: row.w.conc, ObjectSize: row.w.size}
		for i, c := range row.cells {
			tj := targetJSON{Name: r.targets[i].name, Total: c.total.figures(), RSS: c.mem.rss, PeakRSS: c.mem.peakRSS}
			for _, s := range c.rounds {
				tj.Rounds = append(tj.Rounds, s.figures())
			}
			rj.Targets = append(rj.Targets, tj)
		}
		doc.Rows = append(doc.Rows, rj)
	}
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if path == "-" {
		_, err = out.Write(raw)
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}
