// Command torture checks a running server for linearizability under faults.
//
//	torture                                             start a server and torture it for a minute
//	torture --runs 100 --duration 30s                   with seed after seed, each on a fresh store
//	torture --seed 4711 --faults kill,hang              repeat a run, or choose the faults
//	torture --endpoint http://node1:9000 --endpoint ... --access-key K --secret-key S
//	                                                    load any S3 server, without faults of ours
//	torture --race 1000                                 64 writers race for one key, round after round
//
// Clients do mixed operations on a few hot keys over all endpoints: PUT of all sizes, signed whole or in
// chunks, multipart, conditional PUT (If-None-Match: *, If-Match) and DELETE, CopyObject, DeleteObjects,
// GET, HEAD, LIST. Meanwhile the server that the tool started (server/, the product's node above a file
// system and a clock with switches) is killed and started again, stopped and continued, its drives fill
// up, err, hang, slow down or vanish, its clock jumps. What each client saw goes into a history
// (history/): an answer that never came, or a 5xx, is a write that may take effect at any time or never.
//
// A run is wrong if
//
//   - a body is not, byte for byte, what its ETag stands for, or an ETag is of nothing that was written;
//   - a key's history is not linearizable: judge/, a module of its own, asks porcupine. Reads of LIST
//     count as one read of each key of the page's range. When the faults are over every key that was
//     ever used is read, byte by byte, before and after another restart, and these reads are part of the
//     history, so an acknowledged write that was lost is found there;
//   - a list is out of order or names what nobody wrote; an acknowledged upload is unknown; an answer is
//     one that no server may give (such as 400); the server ends by itself or does not start again, or
//     does not answer every read once the faults are over.
//
// Every run prints its seed. The faults and the clients' choices follow from it, the timing of the machine
// does not: a failure repeats more often than not, never for sure. A failed run leaves its history, the
// pictures of the keys at fault, the drives and the server's log behind and prints where.
//
// What it does not show: a power cut (SIGKILL leaves the page cache; that is the work of the crash tests
// beside the drives), a network that loses or reorders (actors/sim), faults of the raft log's file other
// than a full drive (it is not reached through the drives' file system). Our own server is one process, as
// long as a store is one machine; --endpoint takes any number.
//
// Keys live for some hundred operations and are then left to be read at the end, so that the judge has
// short histories with few unknown outcomes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	endpoints            endpointList
	accessKey, secretKey string
	bucket               string
	dir, server, judge   string
	drives               int
	clients, slots       int
	seed                 uint64
	runs                 int
	duration             time.Duration
	faults               string
	race, writers        int
	keep                 bool
}

// endpointList is a flag that may be repeated.
type endpointList []string

// String implements flag.Value.
func (l *endpointList) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *endpointList) Set(s string) error {
	*l = append(*l, s)
	return nil
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("torture", flag.ContinueOnError)
	fs.Var(&o.endpoints, "endpoint", "URL of a running S3 server, repeated for several; default: start one of our own")
	fs.StringVar(&o.accessKey, "access-key", "tortureadmin", "access key")
	fs.StringVar(&o.secretKey, "secret-key", "torturesecret0123456789", "secret key")
	fs.StringVar(&o.bucket, "bucket", "torture", "bucket to work in; made if it is not there, emptied of nothing")
	fs.StringVar(&o.dir, "dir", "", "where drives, history and logs are kept; default a new temporary directory")
	fs.StringVar(&o.server, "server", "", "binary of scripts/torture/server; default: built")
	fs.StringVar(&o.judge, "judge", "", "binary of scripts/torture/judge; default: built")
	fs.IntVar(&o.drives, "drives", 4, "drives of our own server")
	fs.IntVar(&o.clients, "clients", 12, "concurrent clients")
	fs.IntVar(&o.slots, "keys", 4, "hot keys at a time")
	fs.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of everything random but the timing of the machine")
	fs.IntVar(&o.runs, "runs", 1, "how many runs, with seed after seed")
	fs.DurationVar(&o.duration, "duration", time.Minute, "length of the load of one run; 0: none")
	fs.StringVar(&o.faults, "faults", "all", "all, none, or some of: "+strings.Join(faultNames(), ","))
	fs.IntVar(&o.race, "race", 0, "rounds of races instead of the load (or before it, if --duration is given)")
	fs.IntVar(&o.writers, "writers", 64, "writers of a race")
	fs.BoolVar(&o.keep, "keep", false, "keep history, drives and logs also when all is well")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	timed := false
	fs.Visit(func(f *flag.Flag) { timed = timed || f.Name == "duration" })
	if o.race > 0 && !timed {
		o.duration = 0
	}
	return o, nil
}

// command repeats a run.
func (o *options) command(seed uint64) string {
	words := []string{"go", "run", "./scripts/torture", "--seed", fmt.Sprint(seed), "--drives", fmt.Sprint(o.drives),
		"--clients", fmt.Sprint(o.clients), "--keys", fmt.Sprint(o.slots), "--faults", o.faults}
	for _, e := range o.endpoints {
		words = append(words, "--endpoint", e)
	}
	if o.race > 0 {
		words = append(words, "--race", fmt.Sprint(o.race), "--writers", fmt.Sprint(o.writers))
	}
	return strings.Join(append(words, "--duration", o.duration.String()), " ")
}
