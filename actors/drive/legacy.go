package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// LegacyDoer is what the calls of the first coordinator are made of.
type LegacyDoer interface {
	Doer
	ID() cluster.DriveID
	// Known are the set epoch and the bucket's revision that the drive acts under.
	Known(set cluster.SetID, bucket cluster.BucketID) (epoch, revision uint64)
	// FlushMarks makes durable all marks that were queued before.
	FlushMarks(ctx context.Context) error
}

// Legacy gives a drive the calls of the first coordinator, which knows neither ballots nor
// revisions, each as the request of the protocol that it means. They go with their last caller.
type Legacy struct {
	D     LegacyDoer
	calls *sync.Pool // of *legacyCall
}

// NewLegacy gives d the calls of the first coordinator.
func NewLegacy(d LegacyDoer) Legacy {
	return Legacy{D: d, calls: &sync.Pool{New: func() any { return &legacyCall{} }}}
}

// legacyCall is the memory of one call.
type legacyCall struct {
	req   Request
	reply Reply
}

func (l Legacy) call() *legacyCall { return l.calls.Get().(*legacyCall) }

// done takes a call's memory back. Nothing of its reply is in use any more.
func (l Legacy) done(c *legacyCall) {
	c.req = Request{}
	c.reply.Shard, c.reply.Hold = nil, nil
	l.calls.Put(c)
}

// Commit is one version offered to one drive.
type Commit struct {
	Set       cluster.SetID
	Epoch     uint64
	BucketRev uint64 // cluster.Bucket.Revision the sender acted under
	Key       object.Key
	Ref       object.VersionRef
	Rev       object.Stamp
	Slot      uint8
	// Row is the shared part of the version row (ondisk.AppendVersion), the same on every drive.
	Row []byte
	// Kind, Size and OID repeat what Row says, so that the drive need not decode it.
	Kind ondisk.VersionKind
	Size int64
	OID  object.OID // zero: no data
	// Inline is the shard when it is small enough to lie in the index; nil otherwise.
	Inline []byte
	// Staged says that the shard was staged on this drive under OID.
	Staged bool
	// Parts is the part table of a multipart object.
	Parts  []ondisk.Part
	Upload object.WriteID // upload completed by this commit; zero: none
	// Versioned keeps older versions when this one becomes stable.
	Versioned bool
}

// CommitReply answers a Commit.
type CommitReply struct {
	Accepted bool
	Highest  object.Stamp // highest stamp the drive knows for the key (refused) or at all (accepted)
	Batch    uint64       // durable batch that holds the row
}

// Tomb names a tombstone to drop.
type Tomb struct {
	Key object.Key
	Set cluster.SetID
	Ref object.VersionRef
}

// ReportRequest asks for a key.
type ReportRequest struct {
	Set   cluster.SetID
	Epoch uint64
	Key   object.Key
	// WithShard is Request's.
	WithShard bool
}

// Report is a drive's evidence about a key.
type Report struct {
	Slot     uint8
	Versions []Reported // newest first; the last is stable unless none is
	Inline   []byte
	Shard    ShardReader
	Hold     io.Closer
}

// Release closes what is open of a report.
func (r *Report) Release() {
	reply := Reply{Shard: r.Shard, Hold: r.Hold}
	reply.Release()
	r.Shard, r.Hold = nil, nil
}

// Reported is one version in a report.
type Reported struct {
	Version ondisk.Version
	Row     []byte // shared part of the row as stored, for handing on unchanged
	Stable  bool
}

// refused turns a refusal into an error.
func (l Legacy) refused(what string, r *Reply) error {
	switch r.Refused {
	case quorum.RefusedNot:
		return nil
	case quorum.RefusedSync:
		return fmt.Errorf("drive %s: %s: %w", l.D.ID(), what, ErrNotInSync)
	}
	return fmt.Errorf("drive %s: %s: %w", l.D.ID(), what, ErrStale)
}

// do tells a drive that is behind of the bucket's revision first, which its coordinator knew from
// the control plane.
func (l Legacy) do(ctx context.Context, req *Request, reply *Reply) error {
	if req.Revision == ^uint64(0) {
		_, req.Revision = l.D.Known(req.Set, req.Key.Bucket)
	}
	err := l.D.Do(ctx, req, reply)
	if err != nil || reply.Refused != quorum.RefusedBehind {
		return err
	}
	fence := Request{Request: quorum.Request{Kind: quorum.ReqFence, Fence: req.Fence, Key: req.Key}}
	if err := l.D.Do(ctx, &fence, reply); err != nil {
		return err
	}
	return l.D.Do(ctx, req, reply)
}

// CommitStarter is Starter for commits of the first coordinator.
type CommitStarter interface {
	StartCommit(req *Commit, to CommitReceiver, tag int) (started bool, err error)
}

// CommitReceiver is Receiver for commits of the first coordinator.
type CommitReceiver interface {
	Committed(tag int, reply CommitReply, err error)
}

// StartCommit implements CommitStarter.
func (a *Actor) StartCommit(req *Commit, to CommitReceiver, tag int) (started bool, err error) {
	r := a.legacies.get()
	r.a, r.to = a, to
	req.request(&r.req)
	started, err = a.Start(&r.req, r, tag)
	if !started {
		a.legacies.Put(r)
	}
	return started, err
}

// legacyReceiver turns the answer of one request into that of a commit.
type legacyReceiver struct {
	a   *Actor
	to  CommitReceiver
	req Request
}

// legacyPool recycles them.
type legacyPool struct{ sync.Pool }

func (p *legacyPool) get() *legacyReceiver {
	if r, ok := p.Get().(*legacyReceiver); ok {
		return r
	}
	return &legacyReceiver{}
}

// Answered implements Receiver.
func (r *legacyReceiver) Answered(tag int, reply *Reply, err error) {
	a, to := r.a, r.to
	r.req = Request{}
	a.legacies.Put(r)
	if err == nil {
		err = a.Legacy.refused("commit", reply)
	}
	if err != nil {
		to.Committed(tag, CommitReply{}, err)
		return
	}
	to.Committed(tag, CommitReply{Accepted: reply.OK, Highest: reply.Highest, Batch: reply.Batch}, nil)
}

// request makes r the request of the protocol that a commit means.
func (req *Commit) request(r *Request) {
	*r = Request{
		Request: quorum.Request{
			Kind: quorum.ReqCommit, Fence: quorum.Fence{Set: req.Set, Epoch: req.Epoch, Revision: req.BucketRev},
			Key: req.Key, Ballot: req.Ref,
			Version: quorum.Version{
				Ref: req.Ref, Rev: req.Rev, Kind: quorum.Kind(req.Kind), Null: !req.Versioned,
				Data: req.Kind == ondisk.KindObject, Upload: req.Upload, Epoch: req.Epoch,
			},
		},
		Payload: Payload{Row: req.Row, Size: req.Size, OID: req.OID, Inline: req.Inline, Staged: req.Staged, Parts: req.Parts},
	}
}

// Commit durably accepts one version, or refuses it.
func (l Legacy) Commit(ctx context.Context, req *Commit) (CommitReply, error) {
	c := l.call()
	req.request(&c.req)
	reply := &c.reply
	err := l.do(ctx, &c.req, reply)
	if err != nil {
		return CommitReply{}, err // the memory may be in use
	}
	defer l.done(c)
	if err := l.refused("commit", reply); err != nil {
		return CommitReply{}, err
	}
	return CommitReply{Accepted: reply.OK, Highest: reply.Highest, Batch: reply.Batch}, nil
}

// Collect drops tombstones that every member holds stable and synced. With none it is a mere barrier
// for marks.
func (l Legacy) Collect(ctx context.Context, tombs []Tomb) error {
	if err := l.D.FlushMarks(ctx); err != nil || len(tombs) == 0 {
		return err
	}
	calls := make([]Call, len(tombs))
	for i, t := range tombs {
		req := &Request{Request: quorum.Request{Kind: quorum.ReqCollect, Key: t.Key}}
		req.Version = quorum.Version{Ref: t.Ref, Rev: t.Ref.TS, Kind: quorum.Tombstone}
		req.Epoch, req.Revision = l.D.Known(t.Set, t.Key.Bucket)
		req.Set = t.Set
		calls[i] = Call{Req: req, Reply: &Reply{}}
	}
	l.D.DoAll(ctx, calls)
	for i := range calls {
		if calls[i].Err != nil {
			return calls[i].Err
		}
	}
	return nil
}

// Drop removes an unfinished version that was proved dead.
func (l Legacy) Drop(ctx context.Context, key object.Key, set cluster.SetID, ref object.VersionRef) error {
	req := &Request{Request: quorum.Request{Kind: quorum.ReqDrop, Key: key}}
	req.Epoch, req.Revision = l.D.Known(set, key.Bucket)
	req.Set, req.Sealed = set, true
	req.Attempt = quorum.Attempt{Ref: ref, Rev: ref.TS, Epoch: req.Epoch, Null: true}
	var reply Reply
	if err := l.D.Do(ctx, req, &reply); err != nil {
		return err
	}
	if err := l.refused("drop", &reply); err != nil {
		return err
	}
	if reply.Kill == quorum.KillHeld || reply.Kill == quorum.KillUnknown {
		return fmt.Errorf("drive %s: drop: %w", l.D.ID(), ErrHeld)
	}
	return nil
}

// Report lists the key's versions from the newest down to the newest stable one.
func (l Legacy) Report(ctx context.Context, req *ReportRequest) (Report, error) {
	c := l.call()
	defer l.done(c)
	r, reply := &c.req, &c.reply
	r.Kind, r.Key, r.WithRows, r.WithShard = quorum.ReqReport, req.Key, true, req.WithShard
	_, r.Revision = l.D.Known(req.Set, req.Key.Bucket)
	r.Set, r.Epoch, r.Sealed = req.Set, req.Epoch, true
	if err := l.D.Do(ctx, r, reply); err != nil {
		return Report{}, err
	}
	if err := l.refused("report", reply); err != nil {
		return Report{}, err
	}
	out := Report{Inline: bytes.Clone(reply.Inline), Shard: reply.Shard, Hold: reply.Hold}
	for i := range reply.Versions {
		v, row := &reply.Versions[i], &reply.Rows[i]
		rep := Reported{Row: bytes.Clone(row.Shared), Stable: v.Stable}
		if err := ondisk.DecodeShared(&rep.Version, v.Ref, v.Rev, rep.Row); err != nil {
			out.Release()
			return Report{}, fmt.Errorf("drive %s: report: %w", l.D.ID(), damaged(err))
		}
		rep.Version.Slot = row.Slot
		out.Versions, out.Slot = append(out.Versions, rep), row.Slot
	}
	return out, nil
}

// PutUpload durably records an upload.
func (l Legacy) PutUpload(ctx context.Context, at Target, up *ondisk.Upload) error {
	req := &Request{Request: quorum.Request{Kind: quorum.ReqUpload, Key: at.Key, Upload: up.ID, Ballot: object.VersionRef{TS: up.TS, Write: up.ID}}, Opened: []*ondisk.Upload{up}}
	req.Set, req.Epoch, req.Revision = at.Set, at.Epoch, at.BucketRev
	var reply Reply
	if err := l.do(ctx, req, &reply); err != nil {
		return err
	}
	if err := l.refused("put upload", &reply); err != nil || reply.OK {
		return err
	}
	return fmt.Errorf("drive %s: put upload: %w", l.D.ID(), ErrStale)
}

// DropUpload removes an upload and gives its parts back.
func (l Legacy) DropUpload(ctx context.Context, at Target, upload object.WriteID) error {
	req := &Request{Request: quorum.Request{Kind: quorum.ReqReport, Key: at.Key, All: true}}
	req.Epoch, req.Revision = l.D.Known(at.Set, at.Key.Bucket)
	req.Set, req.Sealed = at.Set, true
	var reply Reply
	if err := l.D.Do(ctx, req, &reply); err != nil {
		return err
	}
	for { // above all: another may have its turn at the key
		next := &Request{Request: quorum.Request{Kind: quorum.ReqDecide, Fence: req.Fence, Key: at.Key, Upload: upload}}
		next.Ballot = object.VersionRef{TS: reply.Highest + 1, Write: upload}
		if err := l.D.Do(ctx, next, &reply); err != nil {
			return err
		}
		if err := l.refused("drop upload", &reply); err != nil || reply.OK || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// Fence records the newest revision of a bucket; removed forgets the bucket.
func (l Legacy) Fence(ctx context.Context, bucket cluster.BucketID, revision uint64, sealed, removed bool) error {
	return Fence(ctx, l.D, bucket, revision, sealed, removed)
}
