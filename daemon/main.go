// Command holdfast pools many drives on many machines into one S3 object store.
package main

import (
	"context"
	"os"

	"holdfast/daemon/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
