package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of utime and stime in /proc; Linux has shown user space 100 per second on
// every architecture for decades.
const clockTick = time.Second / 100

// usage is what a server's process tree has consumed so far.
type usage struct {
	cpu     time.Duration // utime + stime of all processes
	rss     int64         // resident bytes now
	peakRSS int64         // sum of the high-water marks
}

// procTree reads the usage of pid and its living descendants. A process that ended took its time with it,
// so a server is measured by the process that stays.
func procTree(pid int) (usage, error) {
	parents, err := parentTable()
	if err != nil {
		return usage{}, err
	}
	var u usage
	if err := u.addProcess(pid); err != nil {
		return usage{}, err
	}
	for child := range parents {
		for p := parents[child]; p > 1; p = parents[p] {
			if p == pid {
				if err := u.addProcess(child); err != nil && !os.IsNotExist(err) {
					return usage{}, err
				}
				break
			}
		}
	}
	return u, nil
}

func parentTable() (map[int]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(stats))
	for _, name := range stats {
		f, err := statFields(name)
		if err != nil {
			continue // it ended meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parents[pid], _ = strconv.Atoi(f[1])
	}
	return parents, nil
}

// statFields returns the fields after the command name, which may itself hold spaces and brackets:
// state, ppid, ...; utime and stime are the 12th and 13th.
func statFields(name string) ([]string, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(f) < 13 {
		return nil, fmt.Errorf("%s: %d fields", name, len(f))
	}
	return f, nil
}

func (u *usage) addProcess(pid int) error {
	dir := "/proc/" + strconv.Itoa(pid)
	f, err := statFields(dir + "/stat")
	if err != nil {
		return err
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	u.cpu += time.Duration(user+system) * clockTick
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return err
	}
	u.rss += statusKiB(status, "VmRSS:") << 10
	u.peakRSS += statusKiB(status, "VmHWM:") << 10
	return nil
}

func statusKiB(status []byte, field string) int64 {
	_, rest, ok := bytes.Cut(status, []byte("\n"+field))
	if !ok {
		return 0
	}
	f := bytes.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(f[0]), 10, 64)
	return n
}

// ownCPU is the processor time this client has used.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
