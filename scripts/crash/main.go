// Command crash kills a server under load, again and again, and checks what it finds after each restart.
//
//	crash --binary ./holdfast --rounds 20
//
// Workers put, overwrite, copy and delete objects of all sizes and upload in parts, each on keys of its
// own, so that the last acknowledged state of every key is known. At a random moment the server is
// killed with SIGKILL. After its restart every key is read and compared byte by byte:
//
//   - what was acknowledged is there, with the right bytes, ETag and size, and listed;
//   - what was deleted and acknowledged is not there;
//   - a call that had no answer happened wholly or not at all. It may come to light later than the first
//     read behind the kill, as a call that never ended may, but not after a later acknowledged change of
//     its key, and once seen it stays;
//   - a multipart upload that was open goes on with the parts that were acknowledged.
//
// SIGKILL leaves the page cache in place: this shows that the order of the server's own steps is right, not
// what a power cut does. That is the work of the crash tests beside the drive engine.
//
// With --absent one drive is taken away at every second restart and comes back, stale, at the next.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	binary, dir, args, ready string
	rounds, drives, workers  int
	seed                     uint64
	minRun, maxRun           time.Duration
	absent, keep             bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", os.Getenv("HOLDFAST"), "the server's binary; default $HOLDFAST")
	flag.StringVar(&o.dir, "dir", "", "where the drives are made; default a new temporary directory")
	flag.StringVar(&o.args, "args", "server --address {address} {drives}", "the server's arguments")
	flag.StringVar(&o.ready, "ready", "/-/health/ready", "path that answers 200 when the server serves")
	flag.IntVar(&o.rounds, "rounds", 20, "how often to kill")
	flag.IntVar(&o.drives, "drives", 4, "drives of the store")
	flag.IntVar(&o.workers, "workers", 8, "concurrent workers")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of everything random but the timing of the machine")
	flag.DurationVar(&o.minRun, "min", 200*time.Millisecond, "shortest time under load before a kill")
	flag.DurationVar(&o.maxRun, "max", 1500*time.Millisecond, "longest time under load before a kill")
	flag.BoolVar(&o.absent, "absent", false, "take one drive away at every second restart")
	flag.BoolVar(&o.keep, "keep", false, "keep the drives and the log also when all is well")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "crash: %v\ncrash: seed %d, drives and server.log are in %s\n", err, o.seed, o.dir)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (err error) {
	if o.binary == "" {
		return fmt.Errorf("--binary or $HOLDFAST is needed")
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "crash-"); err != nil {
			return err
		}
	}
	srv, err := newServer(o)
	if err != nil {
		return err
	}
	defer srv.Kill()
	if _, err := srv.start(); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(o.seed, 0))
	m := newModel(o, srv)
	if err := m.makeBucket(); err != nil {
		return err
	}
	for round := 1; round <= o.rounds; round++ {
		if err := oneRound(ctx, o, srv, m, rng, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	if err := srv.Stop(); err != nil {
		return fmt.Errorf("SIGTERM: %w", err)
	}
	if _, err := srv.start(); err != nil {
		return err
	}
	if err := m.verify(ctx); err != nil {
		return fmt.Errorf("after an orderly stop: %w", err)
	}
	fmt.Printf("%d rounds: %d calls acknowledged, %d left without an answer (%d of them had happened), %d objects compared, "+
		"nothing lost, nothing half-written\n", o.rounds, m.acked, m.unanswered, m.happened, m.compared)
	srv.Kill()
	if o.keep {
		return nil
	}
	return os.RemoveAll(o.dir)
}

func oneRound(ctx context.Context, o *options, srv *server, m *model, rng *rand.Rand, round int) error {
	before := m.acked
	span := o.minRun + time.Duration(rng.Int64N(int64(o.maxRun-o.minRun)+1))
	if err := m.load(ctx, span, srv.Kill); err != nil {
		return err
	}
	if o.absent {
		if err := toggleDrive(o, round); err != nil {
			return err
		}
	}
	took, err := srv.start()
	if err != nil {
		return err
	}
	if err := m.verify(ctx); err != nil {
		return err
	}
	fmt.Printf("round %2d: killed after %4d ms, %5d calls acknowledged, ready again in %3d ms, %d objects compared\n",
		round, span.Milliseconds(), m.acked-before, took.Milliseconds(), m.present())
	return ctx.Err()
}

// toggleDrive moves a drive away in odd rounds and back in even ones.
func toggleDrive(o *options, round int) error {
	n := (round-1)/2%o.drives + 1
	drive := filepath.Join(o.dir, fmt.Sprint("drive", n))
	away := drive + ".away"
	if round%2 == 1 {
		return os.Rename(drive, away)
	}
	// The server may have made nothing at the empty place; if there is an empty directory, drop it.
	if err := os.Remove(drive); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("the place of an absent drive was written: %w", err)
	}
	return os.Rename(away, drive)
}
