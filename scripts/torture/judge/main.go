// Command judge checks a history of scripts/torture for linearizability, key by key, with porcupine.
//
//	judge history.json
//
// It ends with status 0 if every key is linearizable, 1 if one is not, 3 if one could not be decided
// within the limit, 2 if it cannot work. Of a key that is not linearizable it prints the operations up
// to the first answer that no order allows, and with --html writes porcupine's picture of it.
//
// It is a module of its own, so that porcupine is no dependency of the product; all that it shares with
// the tool is the package of the history's format. The command second, beside it, asks porcupine about the
// histories of the simulator.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast/scripts/torture/history"
)

// Exit codes.
const (
	exitOK        = 0
	exitWrong     = 1
	exitFailure   = 2
	exitUndecided = 3
)

// shown is how many operations of a key that is not linearizable are printed.
const shown = 60

func main() {
	limit := flag.Duration("limit", 30*time.Second, "time for one key")
	html := flag.String("html", "", "directory for pictures of keys that are not linearizable")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "judge: one history is needed")
		os.Exit(exitFailure)
	}
	h, err := history.ReadFile(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(exitFailure)
	}
	start := time.Now()
	verdicts := judge(h, *limit)
	code := report(os.Stdout, h, verdicts)
	if *html != "" {
		if err := draw(*html, verdicts, *limit); err != nil {
			fmt.Fprintln(os.Stderr, "judge:", err)
		}
	}
	fmt.Printf("judge: %s\n", summary(h, verdicts, time.Since(start)))
	os.Exit(code)
}

// judge checks all keys, as many at a time as there are processors.
func judge(h *history.History, limit time.Duration) []verdict {
	keys := h.Keys()
	next := make(chan string)
	var mu sync.Mutex
	var out []verdict
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for key := range next {
				v := check(key, keys[key], limit)
				mu.Lock()
				out = append(out, v)
				mu.Unlock()
			}
		})
	}
	for key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
	slices.SortFunc(out, func(a, b verdict) int { return cmp.Compare(a.key, b.key) })
	return out
}

// report prints every key that is not well and returns the exit code.
func report(w io.Writer, h *history.History, verdicts []verdict) int {
	code := exitOK
	for _, v := range verdicts {
		switch v.result {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			fmt.Fprintf(w, "key %s: not decided: %d operations\n", v.key, len(v.ops))
			code = max(code, exitUndecided)
			continue
		}
		var upto []*history.Op
		for _, op := range v.ops {
			if op.Invoke <= v.at {
				upto = append(upto, op)
			}
		}
		fmt.Fprintf(w, "key %s is NOT LINEARIZABLE: no order of its operations allows the answer at %.6f s; up to then (of %d):\n", v.key, float64(v.at)/1e9, len(upto))
		for _, op := range upto[max(0, len(upto)-shown):] {
			mark := " "
			if op.Return == v.at {
				mark = ">"
			}
			fmt.Fprintf(w, "%s %s\n", mark, op)
		}
		for _, f := range h.Faults {
			if f.From <= v.at {
				fmt.Fprintf(w, "  %12.6f %12.6f  fault: %s\n", float64(f.From)/1e9, float64(f.To)/1e9, f.What)
			}
		}
	}
	for _, v := range verdicts {
		if v.result == porcupine.Illegal {
			return exitWrong
		}
	}
	return code
}

// draw writes a picture of each key that is not linearizable.
func draw(dir string, verdicts []verdict, limit time.Duration) error {
	for i, v := range verdicts {
		if v.result != porcupine.Illegal {
			continue
		}
		_, info := porcupine.CheckOperationsVerbose(register, upTo(v.ops, v.at), limit)
		if err := porcupine.VisualizePath(register, info, filepath.Join(dir, fmt.Sprintf("key-%d.html", i))); err != nil {
			return fmt.Errorf("picture of key %s: %w", v.key, err)
		}
	}
	return nil
}

func summary(h *history.History, verdicts []verdict, took time.Duration) string {
	counts := map[porcupine.CheckResult]int{}
	longest := 0
	for _, v := range verdicts {
		counts[v.result]++
		longest = max(longest, len(v.ops))
	}
	open := 0
	for i := range h.Ops {
		if h.Ops[i].Outcome == history.Unknown {
			open++
		}
	}
	return fmt.Sprintf("%d operations (%d of unknown outcome) on %d keys, at most %d on one: %d keys linearizable, %d not, %d not decided, %v",
		len(h.Ops), open, len(verdicts), longest, counts[porcupine.Ok], counts[porcupine.Illegal], counts[porcupine.Unknown], took.Round(time.Millisecond))
}
