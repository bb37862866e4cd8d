package actors

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"sync"
)

// Actor owns the goroutines of one actor: its loop and whatever workers it starts. The first of
// them that returns an error or panics stops all others; the reason is kept.
type Actor struct {
	name string
	stop chan struct{} // closed by Stop and by the first failure

	once sync.Once
	wg   sync.WaitGroup

	mu  sync.Mutex
	err error // guarded by mu
}

// New returns an actor without goroutines. name labels them in profiles.
func New(name string) *Actor {
	return &Actor{name: name, stop: make(chan struct{})}
}

// Go runs f as one of the actor's goroutines. f must return soon after Stopping is closed. A panic
// in f becomes an error that wraps ErrPanic and carries the stack; the process lives.
// Go must not be called after Wait.
func (a *Actor) Go(role string, f func() error) {
	a.wg.Add(1)
	go pprof.Do(context.Background(), pprof.Labels("actor", a.name, "role", role), func(context.Context) {
		defer a.wg.Done()
		defer func() {
			if r := recover(); r != nil {
				a.Fail(fmt.Errorf("%w: %s %s: %v\n%s", ErrPanic, a.name, role, r, debug.Stack()))
			}
		}()
		if err := f(); err != nil {
			a.Fail(err)
		}
	})
}

// Fail stops the actor because of err. Only the first reason is kept.
func (a *Actor) Fail(err error) {
	a.mu.Lock()
	if a.err == nil {
		a.err = err
	}
	a.mu.Unlock()
	a.Stop()
}

// Stop asks all goroutines to return. It does not wait and may be called any number of times.
func (a *Actor) Stop() { a.once.Do(func() { close(a.stop) }) }

// Stopping is closed when the actor shall end.
func (a *Actor) Stopping() <-chan struct{} { return a.stop }

// Wait returns when all goroutines have returned, with the reason of the first failure.
func (a *Actor) Wait() error {
	a.wg.Wait()
	return a.Err()
}

// Err is the reason of the first failure, nil if there was none.
func (a *Actor) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
