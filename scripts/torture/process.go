package main

import (
	"bufio"
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

// Bounds of a server's starting and stopping.
const (
	startLimit   = 60 * time.Second
	orderlyLimit = 45 * time.Second
	controlLimit = 5 * time.Second
)

// process is the server under test. It keeps its address over restarts.
type process struct {
	binary  string
	address string
	dir     string
	drives  []string
	env     []string
	lost    func(string) // called when it ends by itself

	mu      sync.Mutex
	cmd     *exec.Cmd     // guarded by mu; nil while it is down
	exited  chan struct{} // closed when the process is gone
	ending  bool          // guarded by mu: its end is ours
	starts  int
	control string
}

// newProcess chooses an address.
func newProcess(o *options, dir string, drives []string, lost func(string)) (*process, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	return &process{
		binary: o.server, address: ln.Addr().String(), dir: dir, drives: drives, lost: lost,
		env: append(os.Environ(), "HOLDFAST_ROOT_USER="+o.accessKey, "HOLDFAST_ROOT_PASSWORD="+o.secretKey),
	}, nil
}

func (p *process) endpoint(o *options) (*s3light.Endpoint, error) {
	return s3light.ParseEndpoint("http://"+p.address, s3light.Credentials{AccessKey: o.accessKey, SecretKey: o.secretKey})
}

// start runs the server with a clock offset and waits until it is ready. Half of the starts hide file
// descriptors from the drives.
func (p *process) start(offset time.Duration, plain bool) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.starts++
	p.control = filepath.Join(p.dir, fmt.Sprintf("control-%d", p.starts))
	args := []string{"--address", p.address, "--control", p.control, "--clock", offset.String()}
	if plain {
		args = append(args, "--plain-files")
	}
	cmd := exec.Command(p.binary, append(args, p.drives...)...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, p.env
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.exited, p.ending = cmd, exited, false
	p.mu.Unlock()
	go func() {
		cmd.Wait()
		p.mu.Lock()
		ours := p.ending
		p.mu.Unlock()
		if !ours {
			p.lost(fmt.Sprintf("the server ended by itself: %v", cmd.ProcessState))
		}
		close(exited)
	}()
	return p.waitReady(exited)
}

func (p *process) waitReady(exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(10 * time.Millisecond)
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
		resp, err := client.Get("http://" + p.address + "/-/health/ready")
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

// signal sends one to the process; an end that it causes is ours.
func (p *process) signal(sig syscall.Signal, ending bool) (exited <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	p.ending = p.ending || ending
	p.cmd.Process.Signal(sig)
	return p.exited
}

// kill ends the server at once and waits until it is gone.
func (p *process) kill() {
	<-p.signal(syscall.SIGKILL, true)
	p.mu.Lock()
	p.cmd = nil
	p.mu.Unlock()
}

// stop asks for an orderly end and insists on it.
func (p *process) stop() error {
	exited := p.signal(syscall.SIGTERM, true)
	timer := time.NewTimer(orderlyLimit)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		return fmt.Errorf("the server still runs %v after SIGTERM", orderlyLimit)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errors.New("there was no server to stop")
	}
	state := p.cmd.ProcessState
	p.cmd = nil
	if !state.Success() {
		return fmt.Errorf("an orderly stop: %v", state)
	}
	return nil
}

// order sends one command to the control socket.
func (p *process) order(words ...string) error {
	c, err := net.DialTimeout("unix", p.control, controlLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(controlLimit)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, strings.Join(words, " ")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "ok\n" {
		return fmt.Errorf("control %q: %s", words, strings.TrimSpace(answer))
	}
	return nil
}

// logTail is the end of the server's log.
func (p *process) logTail() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}
