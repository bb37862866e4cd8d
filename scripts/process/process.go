// Package process runs a server as a process of its own, for the tools that kill it, stop it and start it
// again at the same address.
package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Bounds of a server's starting and stopping.
const (
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
	logFile    = "server.log"
	logEnd     = 3000 // bytes of the log that LogTail returns
)

// Server is the process under test. It keeps its address over restarts. The exported fields are set
// before the first Start and not changed after it.
type Server struct {
	Binary  string
	Address string       // host:port at which it will answer
	Dir     string       // of server.log, to which all starts append
	Env     []string     // added to that of the caller
	Ready   string       // path that answers 200 when the server serves
	Lost    func(string) // called when the process ends by itself; nil if nobody needs to know

	mu     sync.Mutex
	cmd    *exec.Cmd     // guarded by mu; nil while it is down
	exited chan struct{} // guarded by mu; closed when the process is gone
	ending bool          // guarded by mu: its end is ours
}

// Ports of servers lie below those that systems give to outgoing connections (Linux from 32768 on): one
// of these could take the port while the server is down.
const (
	firstPort = 20000
	ports     = 12000
	portTries = 100
)

// FreeAddress returns a loopback address that nobody listens on at the moment.
func FreeAddress() (addr string, err error) {
	for range portTries {
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(ports)))
		var ln net.Listener
		if ln, err = net.Listen("tcp", addr); err == nil {
			return addr, ln.Close()
		}
	}
	return "", err
}

// Start runs the server and waits until it is ready; it returns how long that took.
func (s *Server) Start(args ...string) (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(s.Dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(s.Binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), s.Env...)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	exited := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.exited, s.ending = cmd, exited, false
	s.mu.Unlock()
	go s.wait(cmd, exited)
	if err := s.waitReady(exited); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// wait collects the process. How it ended is in its ProcessState, so its error says nothing new.
func (s *Server) wait(cmd *exec.Cmd, exited chan struct{}) {
	cmd.Wait()
	s.mu.Lock()
	ours := s.ending
	s.mu.Unlock()
	if !ours && s.Lost != nil {
		s.Lost(fmt.Sprintf("the server ended by itself: %v", cmd.ProcessState))
	}
	close(exited)
}

func (s *Server) waitReady(exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("no answer")
	for {
		select {
		case <-exited:
			return errors.New("the server ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready after %v: %w", startLimit, last)
		case <-tick.C:
		}
		resp, err := client.Get("http://" + s.Address + s.Ready)
		if err != nil {
			last = err
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		last = errors.New(resp.Status)
	}
}

// Signal sends one to the process, if it runs; an end that it causes is not reported as Lost. The channel
// returned is closed when the process is gone.
func (s *Server) Signal(sig syscall.Signal, ending bool) (exited <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	s.ending = s.ending || ending
	s.cmd.Process.Signal(sig)
	return s.exited
}

// Kill ends the server at once and waits until it is gone.
func (s *Server) Kill() {
	<-s.Signal(syscall.SIGKILL, true)
	s.mu.Lock()
	s.cmd = nil
	s.mu.Unlock()
}

// Stop asks for an orderly end and insists on it: within the limit, with exit status 0.
func (s *Server) Stop() error {
	exited := s.Signal(syscall.SIGTERM, true)
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		return fmt.Errorf("the server still runs %v after SIGTERM", stopLimit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return errors.New("there was no server to stop")
	}
	state := s.cmd.ProcessState
	s.cmd = nil
	if !state.Success() {
		return fmt.Errorf("an orderly stop: %v", state)
	}
	return nil
}

// LogTail is the end of the server's log.
func (s *Server) LogTail() string {
	b, err := os.ReadFile(filepath.Join(s.Dir, logFile))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-logEnd):])
}
