// Package admin serves what operators and developers look into a node with, apart from S3: so far
// the Go profiler, on a loopback listener of its own.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// Profiler is a running profiler.
type Profiler struct {
	server *http.Server
	done   chan error
}

// readHead bounds how long a client may take to send a request's head.
const readHead = 10 * time.Second

// StartProfiler listens on addr, which config has checked to be loopback.
func StartProfiler(addr string) (*Profiler, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--pprof %q: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	p := &Profiler{server: &http.Server{Addr: ln.Addr().String(), Handler: mux, ReadHeaderTimeout: readHead}, done: make(chan error, 1)}
	go func() { p.done <- p.server.Serve(ln) }()
	return p, nil
}

// Addr is where it listens.
func (p *Profiler) Addr() string { return p.server.Addr }

// Close cuts whatever is being profiled and waits for the listener to end.
func (p *Profiler) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := p.server.Shutdown(ctx)
	if errors.Is(err, context.Canceled) {
		err = p.server.Close()
	}
	if served := <-p.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
