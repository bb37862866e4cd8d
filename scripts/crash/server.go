package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/scripts/s3light"
)

const (
	accessKey    = "crashadmin"
	secretKey    = "crashsecret0123456789"
	startLimit   = 60 * time.Second
	orderlyLimit = 30 * time.Second
)

// server is the process under test. It keeps its address over restarts.
type server struct {
	o       *options
	address string
	ep      *s3light.Endpoint
	mu      sync.Mutex
	cmd     *exec.Cmd     // guarded by mu; nil while it is down
	exited  chan struct{} // closed when the process is gone
}

func newServer(o *options) (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := ln.Addr().String()
	ln.Close()
	ep, err := s3light.ParseEndpoint("http://"+address, s3light.Credentials{AccessKey: accessKey, SecretKey: secretKey})
	if err != nil {
		return nil, err
	}
	ep.Timeout = 20 * time.Second
	return &server{o: o, address: address, ep: ep}, nil
}

// start runs the server and waits until it is ready; it returns how long that took.
func (s *server) start() (time.Duration, error) {
	drives := filepath.Join(s.o.dir, fmt.Sprintf("drive{1...%d}", s.o.drives))
	args := strings.NewReplacer("{address}", s.address, "{drives}", drives).Replace(s.o.args)
	log, err := os.OpenFile(filepath.Join(s.o.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(s.o.binary, strings.Fields(args)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "HOLDFAST_ROOT_USER="+accessKey, "HOLDFAST_ROOT_PASSWORD="+secretKey)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	s.mu.Lock()
	s.cmd, s.exited = cmd, exited
	s.mu.Unlock()
	if err := s.waitReady(exited); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

func (s *server) waitReady(exited <-chan struct{}) error {
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
		resp, err := client.Get("http://" + s.address + s.o.ready)
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

// kill ends the server at once and waits until it is gone.
func (s *server) kill() { s.signal(syscall.SIGKILL) }

func (s *server) signal(sig syscall.Signal) (exited <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(sig)
	exited = s.exited
	if sig == syscall.SIGKILL {
		<-exited
		s.cmd = nil
	}
	return exited
}

// terminate asks for an orderly end and insists on it.
func (s *server) terminate() error {
	exited := s.signal(syscall.SIGTERM)
	timer := time.NewTimer(orderlyLimit)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		return fmt.Errorf("still running after %v", orderlyLimit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	if code != 0 {
		return fmt.Errorf("exit status %d", code)
	}
	return nil
}
