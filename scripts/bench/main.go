// Command bench measures S3 servers: one, or two in turn (A B A B ...), with the same light client on the
// same machine, and says what each operation costs the server.
//
//	bench run --a http://127.0.0.1:9000 --pid-a 4711
//	bench run --a http://127.0.0.1:9000 --pid-a 4711 --b http://127.0.0.1:9001 --pid-b 4712 --work small --json out.json
//	bench list       the workloads and what they do
//	bench ceiling    a server that answers at once, to see what the client allows
//
// Credentials come from --access-key-a and --secret-key-a (and -b), or from BENCH_ACCESS_KEY_A and so on,
// or from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
//
// How it measures. Every connection is one goroutine that sends its next request when the last one is
// answered. After a warm-up, operations that end inside the measurement are counted. The server's
// processor time is utime + stime of its process tree, read from /proc at both ends of the measurement
// only, so preparing and cleaning up are not in it. Before each measurement the file systems are synced
// and the disks come to rest, so that one server does not pay for the other's dirty pages, nor for the
// discards of what the other removed. Every target gets a bucket of its own, which is removed at the end.
//
// The client is light so that it leaves the processors to the server (see holdfast/scripts/s3light):
// bodies and their hashes are made in advance, a request is signed without allocating, answers are
// thrown away unless --verify asks to compare every byte and ETag. Its own cost per operation and the
// ceiling (with --ceiling) stand beside each result: a ratio near the ceiling says more about the
// client than about the server.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure one S3 server, or two against each other",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newRunCommand(), newListCommand(), newCeilingCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func newListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the workloads", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			for _, w := range workloads() {
				fmt.Fprintf(cmd.OutOrStdout(), "%-15s %2d connections  %s\n", w.name, w.conc, w.help)
			}
		},
	}
}
