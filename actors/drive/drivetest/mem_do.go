package drivetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// opOf names a request for the hooks.
func opOf(k quorum.RequestKind) Op {
	switch k {
	case quorum.ReqReport:
		return OpReport
	case quorum.ReqPrepare:
		return OpPrepare
	case quorum.ReqCommit:
		return OpCommit
	case quorum.ReqMark:
		return OpMark
	case quorum.ReqKill:
		return OpKill
	case quorum.ReqDrop:
		return OpDrop
	case quorum.ReqCollect, quorum.ReqForget:
		return OpCollect
	case quorum.ReqUpload:
		return OpPutUpload
	case quorum.ReqDecide:
		return OpDropUpload
	case quorum.ReqFence, quorum.ReqAdopt, quorum.ReqFloor:
		return OpFence
	}
	return OpOther
}

// Do carries out one request.
func (m *Mem) Do(ctx context.Context, req *drive.Request, reply *drive.Reply) error {
	op := opOf(req.Kind)
	if err := m.faults.enter(ctx, op); err != nil {
		return err
	}
	if err := m.do(req, reply); err != nil {
		return err
	}
	if err := m.faults.leave(ctx, op); err != nil {
		reply.Release()
		return err
	}
	return nil
}

// DoAll carries out many requests.
func (m *Mem) DoAll(ctx context.Context, calls []drive.Call) {
	for i := range calls {
		calls[i].Err = m.Do(ctx, calls[i].Req, calls[i].Reply)
	}
}

// FlushMarks implements Subject: marks are durable at once.
func (m *Mem) FlushMarks(ctx context.Context) error { return m.faults.enter(ctx, OpCollect) }

// Mark makes revisions stable.
func (m *Mem) Mark(marks []drive.Mark) error {
	if err := m.faults.enter(context.Background(), OpMark); err != nil {
		return err
	}
	for i := range marks {
		if err := m.do(marks[i].Request(), &drive.Reply{}); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mem) do(req *drive.Request, reply *drive.Reply) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults.isFull() && req.Kind == quorum.ReqCommit && req.Version.Kind == quorum.Object {
		return fmt.Errorf("drive %s: commit: %w", m.id, drive.ErrFull)
	}
	*reply = drive.Reply{}
	b := m.bucket(req.Key.Bucket)
	k := &memKey{rows: map[revision]*memRow{}}
	if req.Key.Name != "" {
		k = b.key(req.Key.Name)
		defer b.forget(req.Key.Name, k)
	}
	if err := m.ready(k, req); err != nil {
		return err
	}
	held := slices.ContainsFunc(k.state.Versions, func(v quorum.Version) bool { return v.Is(req.Version.Ref, req.Version.Rev) })
	if req.Kind == quorum.ReqCommit && !held {
		if m.faults.refuses() {
			reply.Kind, reply.Highest = req.Kind, m.state.Highest
			return nil
		}
	}
	m.loadUploads(b, req.Key.Name, k)
	at := quorum.At{Key: &k.state, Set: m.set(req.Set), Bucket: &b.state, Drive: &m.state}
	ans := m.machine.Step(object.StampAt(m.clock()), at, &req.Request)
	k.state.Synced()
	reply.CopyFrom(&ans.Reply)
	if !req.All || req.NoUploads || req.Kind != quorum.ReqReport && req.Kind != quorum.ReqPrepare {
		reply.Uploads = nil
	}
	if ans.Write == quorum.WriteSync {
		m.batch++
	}
	if reply.OK && req.Kind == quorum.ReqCommit {
		reply.Batch = m.batch
	}
	for i := range reply.Versions {
		v := &reply.Versions[i]
		v.Synced = v.Stable
		if req.WithRows {
			r := k.row(v)
			reply.Rows = append(reply.Rows, drive.Row{Shared: r.Row, Slot: r.slot})
		}
	}
	m.addShard(k, req, reply)
	m.settle(b, req.Key.Name, k, req)
	m.endPins(req)
	if b.state.Removed {
		m.purge(b)
	}
	return nil
}

// addShard adds the newest reported version's shard, if asked for.
func (m *Mem) addShard(k *memKey, req *drive.Request, reply *drive.Reply) {
	if !req.WithShard || len(reply.Versions) == 0 || !reply.Versions[0].Data {
		return
	}
	r := k.row(&reply.Versions[0])
	if r.OID.IsZero() {
		return
	}
	if len(r.Parts) > 0 {
		reply.Hold = m.hold(r.OID)
		return
	}
	s := m.shards[r.OID]
	switch {
	case s == nil:
	case !s.inline:
		sh := m.reader(r.OID)
		if sh == nil {
			return
		}
		reply.Shard = sh
		if req.Pin != (quorum.PinID{}) {
			m.pins[req.Pin] = append(m.pins[req.Pin], sh)
		}
	case s.check(0, int64(len(s.data))) == nil:
		reply.Inline = bytes.Clone(s.data)
	}
}

// endPins closes the readers that a request unpins.
func (m *Mem) endPins(req *drive.Request) {
	if req.Kind != quorum.ReqUnpin {
		return
	}
	for _, r := range m.pins[req.Pin] {
		r.closeLocked()
	}
	delete(m.pins, req.Pin)
}

// purge takes away what a removed bucket still has.
func (m *Mem) purge(b *memBucket) {
	for name, k := range b.keys {
		for at, r := range k.rows {
			delete(k.rows, at)
			m.reclaim(k, r, false)
		}
		delete(b.keys, name)
	}
	for id := range b.uploads {
		m.dropUpload(b, id, nil)
	}
	b.dirty = true
}
