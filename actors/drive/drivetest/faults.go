package drivetest

import (
	"context"
	"sync"

	"holdfast/actors/drive"
)

// Op names a call of drive.Drive for the hooks.
type Op string

// The calls that hooks see.
const (
	OpCommit      Op = "commit"
	OpMark        Op = "mark"
	OpCollect     Op = "collect"
	OpDrop        Op = "drop"
	OpStage       Op = "stage"
	OpWriteFrame  Op = "write_frame"
	OpSync        Op = "sync"
	OpReport      Op = "report"
	OpOpenShard   Op = "open_shard"
	OpReadShard   Op = "read_shard"
	OpPending     Op = "pending"
	OpParts       Op = "parts"
	OpScan        Op = "scan"
	OpPutUpload   Op = "put_upload"
	OpPutPart     Op = "put_part"
	OpGetUpload   Op = "get_upload"
	OpDropUpload  Op = "drop_upload"
	OpListUploads Op = "list_uploads"
	OpFence       Op = "fence"
	OpPrepare     Op = "prepare"
	OpKill        Op = "kill"
	OpOther       Op = "other" // any other request of the protocol
)

// faults are the switches of a Mem.
type faults struct {
	mu      sync.Mutex
	offline bool                            // guarded by mu
	full    bool                            // guarded by mu
	refuse  bool                            // guarded by mu
	hang    chan struct{}                   // guarded by mu: closed when calls may go on
	before  func(context.Context, Op) error // guarded by mu
	after   func(context.Context, Op) error // guarded by mu
}

// SetOffline makes every call fail with drive.ErrOffline, having done nothing, and Health say so.
func (m *Mem) SetOffline(on bool) { m.faults.set(func(f *faults) { f.offline = on }) }

// SetFull makes every call that needs space fail with drive.ErrFull, and Health say so.
func (m *Mem) SetFull(on bool) { m.faults.set(func(f *faults) { f.full = on }) }

// SetRefuse makes the drive refuse every version it does not hold.
func (m *Mem) SetRefuse(on bool) { m.faults.set(func(f *faults) { f.refuse = on }) }

// SetHang makes every call wait until it is switched off or the call's ctx ends.
func (m *Mem) SetHang(on bool) {
	m.faults.set(func(f *faults) {
		if f.hang != nil {
			close(f.hang)
			f.hang = nil
		}
		if on {
			f.hang = make(chan struct{})
		}
	})
}

// Before runs fn at the start of every call; an error ends the call with nothing done. fn may
// block or sleep to model a slow drive. Nil removes it.
func (m *Mem) Before(fn func(context.Context, Op) error) {
	m.faults.set(func(f *faults) { f.before = fn })
}

// After runs fn when a call has had its effect; an error replaces the answer, which leaves the
// caller in doubt. Nil removes it.
func (m *Mem) After(fn func(context.Context, Op) error) {
	m.faults.set(func(f *faults) { f.after = fn })
}

func (f *faults) set(fn func(*faults)) {
	f.mu.Lock()
	fn(f)
	f.mu.Unlock()
}

func (f *faults) enter(ctx context.Context, op Op) error {
	f.mu.Lock()
	offline, hang, before := f.offline, f.hang, f.before
	f.mu.Unlock()
	if offline {
		return drive.ErrOffline
	}
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if before != nil {
		if err := before(ctx, op); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (f *faults) leave(ctx context.Context, op Op) error {
	f.mu.Lock()
	after := f.after
	f.mu.Unlock()
	if after != nil {
		return after(ctx, op)
	}
	return nil
}

func (f *faults) isFull() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}

func (f *faults) refuses() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refuse
}

func (f *faults) health() drive.Health {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.offline {
		return drive.Health{State: drive.Absent, Err: drive.ErrOffline}
	}
	return drive.Health{State: drive.Online, Full: f.full}
}
