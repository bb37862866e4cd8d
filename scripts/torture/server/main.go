// Command server is Holdfast with faults that can be switched on below its drives and in its clock: the
// server of scripts/torture. It is the product's node, wired to a file system of its own (package
// faultfs) and to a clock with an offset; nothing of it is in the product's binary.
//
//	server --address HOST:PORT --control SOCKET [--clock OFFSET] [--plain-files] DRIVE...
//
// Settings come from the environment, as the product's do. The control socket takes one command a line
// and answers each with "ok" or "error: why":
//
//	drive PATH MODE...   what the drive at that path does from now on: good, or any of read-errors,
//	                     write-errors, sync-errors, no-space, hang, slow
//	clock OFFSET         sets the wall clock's offset, e.g. -90s
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"holdfast/daemon/config"
	"holdfast/daemon/node"
	"holdfast/scripts/torture/server/faultfs"
)

func main() {
	cfg := config.Default()
	if err := config.FromEnv(config.Knobs(&cfg), nil); err != nil {
		fatal(err)
	}
	control := flag.String("control", "", "path of the control socket")
	offset := flag.Duration("clock", 0, "offset of the wall clock")
	plain := flag.Bool("plain-files", false, "hide file descriptors, so that all data passes the faults; without it writes past the page cache do not")
	flag.StringVar(&cfg.Address, "address", cfg.Address, "host:port of the S3 API")
	flag.Parse()
	cfg.Drives = flag.Args()
	paths, err := cfg.DrivePaths()
	if err != nil {
		fatal(err)
	}
	s := &switches{fs: faultfs.New(paths, *plain)}
	s.offset.Store(int64(*offset))
	ln, err := net.Listen("unix", *control)
	if err != nil {
		fatal(err)
	}
	defer ln.Close()
	go s.serve(ln)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = node.Run(ctx, cfg, node.Face{Version: "torture", Out: os.Stdout, Log: os.Stderr, FS: s.fs, Clock: s.now})
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "server:", err)
	os.Exit(1)
}

// switches is what the control socket sets.
type switches struct {
	fs     *faultfs.FS
	offset atomic.Int64 // ns
}

// now is the process's wall clock. It keeps the monotonic reading, as time.Now does.
func (s *switches) now() time.Time { return time.Now().Add(time.Duration(s.offset.Load())) }

// serve answers the tool until the listener is closed, which is when the process ends.
func (s *switches) serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for in := bufio.NewScanner(c); in.Scan(); {
				answer := "ok"
				if err := s.do(strings.Fields(in.Text())); err != nil {
					answer = "error: " + err.Error()
				}
				if _, err := fmt.Fprintln(c, answer); err != nil {
					return
				}
			}
		}()
	}
}

var errCommand = errors.New("not understood")

func (s *switches) do(words []string) error {
	switch {
	case len(words) >= 3 && words[0] == "drive":
		return s.fs.Set(words[1], words[2:])
	case len(words) == 2 && words[0] == "clock":
		d, err := time.ParseDuration(words[1])
		if err == nil {
			s.offset.Store(int64(d))
		}
		return err
	}
	return fmt.Errorf("%w: %q", errCommand, words)
}
