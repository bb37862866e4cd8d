package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"holdfast/scripts/s3light"
)

// cell is one workload on one target over all rounds.
type cell struct {
	total  sample
	rounds []*sample
	mem    usage // at the end of the last round
}

// row is one workload on all targets.
type row struct {
	w     *workload
	cells []*cell // one per target, in their order
}

// newRun gives a workload its bodies and its keys on a target.
func newRun(t *target, w *workload, cfg *config) *run {
	return &run{t: t, w: w, cfg: cfg, body: bodies(w.size, cfg.payload), prefix: keyPrefix(w.size, w.name)}
}

// compare measures every workload on every target, in turn, and prints the result.
func compare(ctx context.Context, cfg *config, out, progress io.Writer) (err error) {
	targets, closeTargets, err := openTargets(cfg)
	if err != nil {
		return err
	}
	defer func() {
		if e := closeTargets(); err == nil {
			err = e
		}
	}()
	selected, err := cfg.selected()
	if err != nil {
		return err
	}
	rep := &report{Started: time.Now().UTC(), cfg: cfg, targets: targets}
	for _, t := range targets {
		u, err := t.usage()
		if err != nil {
			return err
		}
		rep.idle = append(rep.idle, u)
	}
	for _, w := range selected {
		r, err := measure(ctx, cfg, w, targets, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		rep.rows = append(rep.rows, r)
	}
	if err := rep.writeTable(out); err != nil {
		return err
	}
	if cfg.jsonPath == "" {
		return nil
	}
	return rep.writeJSON(cfg.jsonPath, out)
}

// measure runs one workload: all rounds, and in each round every target once.
func measure(ctx context.Context, cfg *config, w *workload, targets []*target, progress io.Writer) (*row, error) {
	res := &row{w: w}
	var runs []*run
	body := bodies(w.size, cfg.payload)
	for _, t := range targets {
		runs = append(runs, &run{t: t, w: w, cfg: cfg, body: body, prefix: keyPrefix(w.size, w.name)})
		res.cells = append(res.cells, &cell{})
	}
	for round := range cfg.rounds {
		for i, r := range runs {
			s, err := r.one(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.t.name, err)
			}
			c := res.cells[i]
			c.rounds = append(c.rounds, s)
			c.total.merge(s)
			if c.mem, err = r.t.usage(); err != nil {
				return nil, err
			}
			fmt.Fprintf(progress, "%-14s round %d  %-10s %9.0f ops/s %8.1f MiB/s  p50 %v  p99 %v  errors %d\n", w.name, round+1, r.t.name,
				rate(s.ops, s.elapsed), rate(s.bytes, s.elapsed)/mib, round3(s.hist.percentile(.5)), round3(s.hist.percentile(.99)), s.errs)
			if s.lastErr != nil {
				fmt.Fprintf(progress, "%-14s last error: %v\n", w.name, s.lastErr)
			}
		}
	}
	for _, r := range runs {
		if cfg.keep {
			break
		}
		if err := r.clean(); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// openTargets connects to every endpoint and makes its bucket; the returned function removes them.
func openTargets(cfg *config) (targets []*target, closeAll func() error, err error) {
	var ceilingProc *os.Process
	closeAll = func() error {
		var first error
		for _, t := range targets {
			if cfg.keep || t.forget {
				continue
			}
			conn := s3light.NewConn(t.ep)
			err := conn.Do(&s3light.Request{Method: "DELETE", Bucket: t.bucket})
			conn.Close()
			if err != nil && first == nil {
				first = fmt.Errorf("remove bucket: %w", err)
			}
		}
		if ceilingProc != nil {
			ceilingProc.Kill()
			ceilingProc.Wait()
		}
		return first
	}
	sides := []side{cfg.a}
	if cfg.b.url != "" {
		sides = append(sides, cfg.b)
	}
	if cfg.ceiling {
		address, proc, err := startCeiling()
		if err != nil {
			return nil, nil, err
		}
		ceilingProc = proc
		sides = append(sides, side{url: address, name: "ceiling", accessKey: "ceiling", secretKey: "ceiling", pid: proc.Pid})
	}
	for _, s := range sides {
		t, err := s.target(cfg)
		if err == nil {
			conn := s3light.NewConn(t.ep)
			err = conn.MakeBucket(t.bucket)
			conn.Close()
		}
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("%s: %w", strings.TrimSuffix(s.name, ":"), err)
		}
		t.forget = ceilingProc != nil && t.pid == ceilingProc.Pid
		targets = append(targets, t)
	}
	return targets, closeAll, nil
}
