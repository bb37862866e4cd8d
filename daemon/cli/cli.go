// Package cli is the command line: it turns arguments and environment into a config, calls the
// package that does the work, and turns the outcome into an exit code. It holds no logic of its own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"holdfast/daemon/config"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1 // the command was understood and failed
	exitUsage   = 2 // the command line, the environment or a setting is wrong
)

// errUsage marks an error that the caller's words caused.
var errUsage = errors.New("usage")

// Run executes one command line and returns the process's exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Pool many drives on many machines into one S3 object store",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
	})
	root.AddCommand(serverCommand(stdout, stderr), driveCommand(stdout), versionCommand(stdout))
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage), errors.Is(err, config.ErrInvalid), errors.Is(err, config.ErrEllipsis):
		fmt.Fprintln(stderr, "holdfast:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "holdfast:", err)
	return exitFailure
}
