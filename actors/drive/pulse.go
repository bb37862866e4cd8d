package drive

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// hungTicks is how finely Limits.Hung is measured.
const hungTicks = 20

// errSilent is why a drive that does not answer is out of service.
var errSilent = errors.New("it does not answer")

// errStuck is why a drive that could not be closed in time was left behind.
var errStuck = errors.New("a call was under way that did not come back while the drive was closed")

// pulse says whether the drive answers. One that hangs is out of service as if it were not there,
// and back as soon as it answers: nothing that was answered can have been lost meanwhile.
type pulse struct {
	beats   atomic.Pointer[spell]
	probing atomic.Bool
}

// spell is a time in which the drive answers; it ends when the drive does not any more.
type spell struct {
	context.Context
	end context.CancelFunc
}

func (p *pulse) begin() {
	s := &spell{}
	s.Context, s.end = context.WithCancel(context.Background())
	p.beats.Store(s)
}

// lost is closed while the drive does not answer. What one operation waits for must be asked for once.
func (p *pulse) lost() <-chan struct{} { return p.beats.Load().Done() }

func (p *pulse) silent() bool { return isClosed(p.lost()) }

// feelPulse takes the drive out of service while it does not answer. It touches no file itself, and ends
// with Close or with the drive's failure.
func (a *Actor) feelPulse() {
	tick := time.NewTicker(a.o.Limits.Hung / hungTicks)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-a.health.Failed():
			return
		case <-a.gone:
			return
		}
		silent, was := a.health.Tick(), a.pulse.silent()
		switch {
		case silent >= hungTicks && !was:
			a.log.Error("drive does not answer and is out of service until it does", "after", a.o.Limits.Hung)
			a.pulse.beats.Load().end()
			a.refuseWaiting(a.unanswered())
		case silent < hungTicks && was:
			a.log.Info("drive answers again")
			a.pulse.begin()
		}
		if a.pulse.silent() && isClosed(a.closing) {
			a.health.Fail(errSilent) // nobody can close it
		}
		if silent >= hungTicks/2 {
			a.probe()
		}
	}
}

// unanswered is what those are told who wait for a drive that fell silent.
func (a *Actor) unanswered() error { return a.wrap(fmt.Errorf("%w: %w", ErrFailed, errSilent)) }

// probe lets the drive show that it lives: a call that takes for ever, a read of a bad sector perhaps,
// is no hang of the drive if its log can be synced meanwhile.
func (a *Actor) probe() {
	if a.pulse.probing.Swap(true) {
		return // the last one is not back yet
	}
	select {
	case a.readers <- struct{}{}: // the index is not closed before this is back
	default:
		a.pulse.probing.Store(false)
		return
	}
	go func() {
		defer a.pulse.probing.Store(false)
		defer a.end(a.readers)
		if isClosed(a.closing) {
			return
		}
		if err := a.journal.Probe(); err != nil {
			a.log.Warn("probe of a drive that does not answer", "err", err)
		}
	}()
}

// answering returns a context that ends with ctx or when the drive does not answer any more, and why
// turns the error that came of it into this package's.
func (a *Actor) answering(ctx context.Context) (_ context.Context, why func(error) error, stop func()) {
	s := a.pulse.beats.Load()
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(s, cancel)
	why = func(err error) error {
		if err != nil && errors.Is(err, context.Canceled) && isClosed(s.Done()) {
			return fmt.Errorf("%w: %w", ErrFailed, errSilent)
		}
		return err
	}
	return ctx, why, func() { unhook(); cancel() }
}
