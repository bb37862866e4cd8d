package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"holdfast/daemon/config"
	"holdfast/daemon/node"
)

const serverExamples = `  # stand-alone, four drives
  holdfast server /mnt/drive{1...4}

  # another port, chosen credentials
  HOLDFAST_ROOT_USER=admin HOLDFAST_ROOT_PASSWORD=a-long-secret \
    holdfast server --address :9500 /mnt/drive{1...4}

  # HTTPS and virtual-host style buckets
  holdfast server --domain s3.example.com --tls-cert cert.pem --tls-key key.pem /mnt/{01...16}`

// serverCommand starts a node and serves until a signal ends it.
func serverCommand(stdout, stderr io.Writer) *cobra.Command {
	c := config.Default()
	knobs := config.Knobs(&c)
	cmd := &cobra.Command{
		Use:     "server [flags] DRIVE...",
		Short:   "Serve S3 from the given drives",
		Long:    serverLong(knobs),
		Example: serverExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			// The environment comes first so that flags given on the command line win.
			if err := fromFlagsAndEnv(cmd, knobs); err != nil {
				return err
			}
			if len(args) > 0 {
				c.Drives = args
			}
			if err := c.Validate(); err != nil {
				return err
			}
			return serve(cmd.Context(), c, stdout, stderr)
		},
	}
	for _, k := range knobs {
		switch {
		case k.Flag == "":
		case k.Bool:
			cmd.Flags().Bool(k.Flag, false, flagHelp(k))
		default:
			cmd.Flags().String(k.Flag, k.Default, flagHelp(k))
		}
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return cmd
}

func flagHelp(k config.Knob) string { return k.Help + " [$" + k.Env[0] + "]" }

// serverLong lists the settings that exist in the environment only.
func serverLong(knobs []config.Knob) string {
	var b strings.Builder
	b.WriteString(`Serve S3 from the given drives: one directory, or four and more, each best on a disk of
its own. {1...4}, {01...16} and {a...d} stand for several. The same command with the same drives,
in any order, starts the store again.

Settings from the environment only:
`)
	for _, k := range knobs {
		if k.Flag == "" {
			fmt.Fprintf(&b, "  %-28s %s", k.Env[0], k.Help)
			if len(k.Env) > 1 {
				fmt.Fprintf(&b, " (also %s)", strings.Join(k.Env[1:], ", "))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func fromFlagsAndEnv(cmd *cobra.Command, knobs []config.Knob) error {
	if err := config.FromEnv(knobs, nil); err != nil {
		return err
	}
	for _, k := range knobs {
		f := cmd.Flags().Lookup(k.Flag)
		if k.Flag == "" || !f.Changed {
			continue
		}
		if err := k.Set(f.Value.String()); err != nil {
			return fmt.Errorf("%w: --%s %q: %w", config.ErrInvalid, k.Flag, f.Value.String(), err)
		}
	}
	return nil
}

// serve runs the node until SIGINT or SIGTERM; a second signal that is not the echo of the first ends
// the process at once.
func serve(ctx context.Context, c config.Config, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx, c, node.Face{Version: version(), Out: stdout, Log: stderr}) }()
	var first os.Signal
	select {
	case err := <-done:
		return err
	case first = <-signals:
		cancel(fmt.Errorf("signal %s", first))
	}
	for heard := time.Now(); ; {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			if s != first || time.Since(heard) > signalEcho {
				return fmt.Errorf("%w: second signal %s, not waiting for requests in flight", errInterrupted, s)
			}
		}
	}
}

// signalEcho is how long the same signal counts as the first one heard again: timeout(1) and many
// wrappers signal the process and then its whole group. Nobody presses a key twice that fast.
const signalEcho = 100 * time.Millisecond

// errInterrupted is returned when a second signal cut a stop short.
var errInterrupted = errors.New("interrupted")
