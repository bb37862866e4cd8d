package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	settleQuiet = 500 * time.Millisecond // so long nothing must happen
	settleMost  = 30 * time.Second       // after so long the measurement begins in any case
	settleLook  = 50 * time.Millisecond
)

// settle writes everything back and waits until the disks of this machine have come to rest. Files that one server removed are
// discarded by the file system when its journal commits, long after the answer, and many devices do
// nothing else meanwhile: the server that is measured next would pay for it. It returns how long it
// took. Without /proc/diskstats there is nothing to wait for.
func settle(ctx context.Context) time.Duration {
	syscall.Sync()
	start := time.Now()
	last, err := diskWork()
	for since := start; err == nil && time.Since(since) < settleQuiet && time.Since(start) < settleMost && ctx.Err() == nil; {
		time.Sleep(settleLook)
		var now string
		if now, err = diskWork(); now != last {
			last, since = now, time.Now()
		}
	}
	return time.Since(start)
}

// diskWork is a fingerprint of all that the disks were asked to change: writes, discards and those
// requests that are under way.
func diskWork() (string, error) {
	f, err := os.Open("/proc/diskstats")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readDiskWork(bufio.NewScanner(f)), nil
}

// readDiskWork picks the fields; see Documentation/admin-guide/iostats.rst of Linux.
func readDiskWork(s *bufio.Scanner) string {
	var sum strings.Builder
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 12 {
			continue
		}
		fmt.Fprint(&sum, f[2], " ", f[7], " ", f[11]) // name, writes completed, under way
		if len(f) > 14 {
			fmt.Fprint(&sum, " ", f[14]) // discards completed
		}
		sum.WriteByte('\n')
	}
	return sum.String()
}
