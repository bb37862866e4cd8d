package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/scripts/s3light"
	"holdfast/scripts/torture/history"
)

// errWrong is returned when the server under test did what it must not do.
var errWrong = errors.New("the server is wrong")

// run does all runs, each in a directory of its own.
func run(ctx context.Context, o *options) (err error) {
	if _, err := chosen(o.faults); err != nil {
		return err
	}
	base := o.dir
	if base == "" {
		if base, err = os.MkdirTemp("", "torture-"); err != nil {
			return err
		}
	}
	if base, err = filepath.Abs(base); err != nil {
		return err
	}
	if err := o.build(ctx, base); err != nil {
		return err
	}
	for i := range uint64(o.runs) {
		seed := o.seed + i
		dir := filepath.Join(base, fmt.Sprint("run-", seed))
		if err := oneRun(ctx, o, seed, dir); err != nil {
			return fmt.Errorf("seed %d: %w\nhistory, drives and log: %s\nagain: %s", seed, err, dir, o.command(seed))
		}
		if !o.keep {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	if o.keep || o.dir != "" {
		return nil
	}
	return os.RemoveAll(base)
}

// build makes the binaries that were not given. It needs the repository and Go.
func (o *options) build(ctx context.Context, dir string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "holdfast").Output()
	if err != nil && (o.judge == "" || o.server == "" && len(o.endpoints) == 0) {
		return fmt.Errorf("not inside the repository, so --judge (and --server) must name binaries: %w", err)
	}
	here := filepath.Join(strings.TrimSpace(string(root)), "scripts", "torture")
	one := func(binary *string, what string) error {
		if *binary != "" {
			return nil
		}
		*binary = filepath.Join(dir, what)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", *binary, ".")
		cmd.Dir = filepath.Join(here, what)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", what, err, out)
		}
		return nil
	}
	if len(o.endpoints) == 0 {
		err = one(&o.server, "server")
	} else {
		err = nil
	}
	if err == nil && o.duration > 0 {
		err = one(&o.judge, "judge")
	}
	return err
}

// rig is one run's server, or the endpoints of others.
type rig struct {
	o    *options
	rec  *recorder
	lib  *library
	eps  []s3light.Endpoint
	p    *server // nil: the server is not ours
	at   *places
	stop context.CancelCauseFunc
}

func oneRun(ctx context.Context, o *options, seed uint64, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &rig{o: o, rec: newRecorder(seed, o.slots), lib: newLibrary(seed), stop: stop}
	fmt.Printf("seed %d: ", seed)
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(seed, dir); err != nil {
		return err
	}
	if o.race > 0 {
		start := time.Now()
		if err := race(ctx, o.bucket, "race-"+r.rec.prefix, o.race, o.writers, r.eps, r.lib); err != nil {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
		fmt.Printf("%d rounds of %d writers over %d endpoints, If-None-Match and If-Match: one winner in each, %v\n",
			o.race, o.writers, len(r.eps), time.Since(start).Round(time.Millisecond))
	}
	if o.duration == 0 {
		return nil
	}
	return r.torture(ctx, seed, dir)
}

// open starts the server, or finds the endpoints, and makes the bucket.
func (r *rig) open(seed uint64, dir string) (err error) {
	o := r.o
	for _, raw := range o.endpoints {
		ep, err := s3light.ParseEndpoint(raw, s3light.Credentials{AccessKey: o.accessKey, SecretKey: o.secretKey})
		if err != nil {
			return err
		}
		r.eps = append(r.eps, *ep)
	}
	if len(o.endpoints) == 0 {
		if r.at, err = makePlaces(dir, o.drives, int(seed%uint64(o.drives))); err != nil {
			return err
		}
		lost := func(what string) {
			r.rec.violation("%s", what)
			r.stop(errors.New(what))
		}
		if r.p, err = newServer(o, dir, r.at.drives, lost); err != nil {
			return err
		}
		if err := r.p.start(0, false); err != nil {
			return err
		}
		ep, err := r.p.endpoint(o)
		if err != nil {
			return err
		}
		r.eps = append(r.eps, *ep)
	}
	conn := s3light.NewConn(&r.eps[0])
	defer conn.Close()
	if err := conn.MakeBucket(o.bucket); err != nil && s3light.Status(err) != 409 {
		return fmt.Errorf("make bucket %s: %w", o.bucket, err)
	}
	return nil
}

func (r *rig) close() error {
	if r.p != nil {
		r.p.Kill()
	}
	if r.at != nil {
		return r.at.close()
	}
	return nil
}

// torture loads the server, reads everything back and has the history judged.
func (r *rig) torture(ctx context.Context, seed uint64, dir string) error {
	var clients []*client
	for i := range r.o.clients {
		clients = append(clients, newClient(i, r.o, seed, r.eps, r.rec, r.lib))
	}
	err := r.load(ctx, seed, clients)
	if err == nil && ctx.Err() == nil {
		err = r.settle(clients)
	}
	if err != nil {
		r.rec.violation("%v", err)
	}
	h := history.History{Seed: seed, Command: r.o.command(seed), Faults: r.rec.faults, Ops: r.rec.ops}
	file := filepath.Join(dir, "history.json")
	if err := h.WriteFile(file); err != nil {
		return err
	}
	r.report()
	judged := r.judge(file, dir)
	if err := ctx.Err(); err != nil && len(r.rec.violations()) == 0 {
		return errors.Join(judged, err)
	}
	if wrong := r.rec.violations(); len(wrong) > 0 {
		if r.p != nil {
			fmt.Printf("the server's log ends with:\n%s\n", r.p.LogTail())
		}
		return errors.Join(judged, fmt.Errorf("%w, in %d ways:\n%s", errWrong, len(wrong), strings.Join(wrong[:min(len(wrong), 20)], "\n")))
	}
	return judged
}

// load runs the clients and the faults for the duration.
func (r *rig) load(ctx context.Context, seed uint64, clients []*client) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.duration)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() { c.work(ctx) })
	}
	if r.p != nil {
		n := &nemesis{p: r.p, at: r.at, rec: r.rec, rng: rand.New(rand.NewPCG(seed, 0))}
		n.names, _ = chosen(r.o.faults)
		err = n.run(ctx)
	}
	if err != nil {
		cancel()
	}
	wg.Wait()
	return err
}

// settle reads everything back, of a server of ours twice: after a restart in order and after another.
func (r *rig) settle(clients []*client) error {
	vias := []string{"read back", "read again"}
	if r.p == nil {
		vias = vias[:1]
	}
	for _, via := range vias {
		if r.p != nil {
			if err := r.p.Stop(); err != nil {
				return err
			}
			if err := r.p.start(0, false); err != nil {
				return err
			}
		}
		if err := readBack(via, clients, r.rec); err != nil {
			return err
		}
	}
	return nil
}

// report prints what was done.
func (r *rig) report() {
	kinds := map[string]int{}
	for _, f := range r.rec.faults {
		kinds[strings.Join(strings.Fields(f.What)[:2], " ")]++
	}
	fmt.Printf("%d operations, %d keys, %d faults\n", len(r.rec.ops), len(r.rec.keys), len(r.rec.faults))
	fmt.Printf("  %-18s %8s %8s %8s %8s\n", "", "ok", "refused", "unknown", "failed")
	for _, via := range slices.Sorted(maps.Keys(r.rec.counts)) {
		c := r.rec.counts[via]
		fmt.Printf("  %-18s %8d %8d %8d %8d\n", via, c[history.OK], c[history.Refused], c[history.Unknown], c[history.Failed])
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Printf("  fault %-24s %4d\n", k+" ..", kinds[k])
	}
}

// judge has the history checked.
func (r *rig) judge(file, dir string) error {
	cmd := exec.Command(r.o.judge, "--html", dir, file)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
			return fmt.Errorf("%w: a key is not linearizable", errWrong)
		}
		return fmt.Errorf("judge: %w", err)
	}
	return nil
}
