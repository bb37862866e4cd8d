package drivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// Subject is a drive that the suite runs on.
type Subject interface {
	drive.Drive
	// Known are the set epoch and the bucket's revision that the drive acts under.
	Known(set cluster.SetID, bucket cluster.BucketID) (epoch, revision uint64)
	// FlushMarks makes durable all marks that were queued before.
	FlushMarks(ctx context.Context) error
}

// Calls gives a drive short calls for what tests do again and again, each one request of the protocol as
// a coordinator would send it that met nobody else: without ballots, and of first revisions.
type Calls struct{ D Subject }

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
	Shard    drive.ShardReader
	Hold     io.Closer
}

// Release closes what is open of a report.
func (r *Report) Release() {
	reply := drive.Reply{Shard: r.Shard, Hold: r.Hold}
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
func (l Calls) refused(what string, r *drive.Reply) error {
	switch r.Refused {
	case quorum.RefusedNot:
		return nil
	case quorum.RefusedSync:
		return fmt.Errorf("drive %s: %s: %w", l.D.ID(), what, drive.ErrNotInSync)
	}
	return fmt.Errorf("drive %s: %s: %w", l.D.ID(), what, drive.ErrStale)
}

// do tells a drive that is behind of the bucket's revision first, which its coordinator knew from
// the control plane.
func (l Calls) do(ctx context.Context, req *drive.Request, reply *drive.Reply) error {
	if req.Revision == ^uint64(0) {
		_, req.Revision = l.D.Known(req.Set, req.Key.Bucket)
	}
	err := l.D.Do(ctx, req, reply)
	if err != nil || reply.Refused != quorum.RefusedBehind {
		return err
	}
	fence := drive.Request{Request: quorum.Request{Kind: quorum.ReqFence, Fence: req.Fence, Key: req.Key}}
	if err := l.D.Do(ctx, &fence, reply); err != nil {
		return err
	}
	return l.D.Do(ctx, req, reply)
}

// Request is the request of the protocol that a commit means.
func (req *Commit) Request() *drive.Request {
	return &drive.Request{
		Request: quorum.Request{
			Kind: quorum.ReqCommit, Fence: quorum.Fence{Set: req.Set, Epoch: req.Epoch, Revision: req.BucketRev},
			Key: req.Key, Ballot: req.Ref,
			Version: quorum.Version{
				Ref: req.Ref, Rev: req.Rev, Kind: quorum.Kind(req.Kind), Null: !req.Versioned,
				Data: req.Kind == ondisk.KindObject, Upload: req.Upload, Epoch: req.Epoch,
			},
		},
		Payload: drive.Payload{Row: req.Row, Size: req.Size, OID: req.OID, Inline: req.Inline, Staged: req.Staged, Parts: req.Parts},
	}
}

// Commit durably accepts one version, or refuses it.
func (l Calls) Commit(ctx context.Context, req *Commit) (CommitReply, error) {
	var reply drive.Reply
	if err := l.do(ctx, req.Request(), &reply); err != nil {
		return CommitReply{}, err
	}
	if err := l.refused("commit", &reply); err != nil {
		return CommitReply{}, err
	}
	return CommitReply{Accepted: reply.OK, Highest: reply.Highest, Batch: reply.Batch}, nil
}

// Collect drops tombstones that every member holds stable and synced. With none it is a mere barrier
// for marks.
func (l Calls) Collect(ctx context.Context, tombs []Tomb) error {
	if err := l.D.FlushMarks(ctx); err != nil || len(tombs) == 0 {
		return err
	}
	calls := make([]drive.Call, len(tombs))
	for i, t := range tombs {
		req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqCollect, Key: t.Key}}
		req.Version = quorum.Version{Ref: t.Ref, Rev: t.Ref.TS, Kind: quorum.Tombstone}
		req.Epoch, req.Revision = l.D.Known(t.Set, t.Key.Bucket)
		req.Set = t.Set
		calls[i] = drive.Call{Req: req, Reply: &drive.Reply{}}
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
func (l Calls) Drop(ctx context.Context, key object.Key, set cluster.SetID, ref object.VersionRef) error {
	req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqDrop, Key: key}}
	req.Epoch, req.Revision = l.D.Known(set, key.Bucket)
	req.Set, req.Sealed = set, true
	req.Attempt = quorum.Attempt{Ref: ref, Rev: ref.TS, Epoch: req.Epoch, Null: true}
	var reply drive.Reply
	if err := l.D.Do(ctx, req, &reply); err != nil {
		return err
	}
	if err := l.refused("drop", &reply); err != nil {
		return err
	}
	if reply.Kill == quorum.KillHeld || reply.Kill == quorum.KillUnknown {
		return fmt.Errorf("drive %s: drop: %w", l.D.ID(), drive.ErrHeld)
	}
	return nil
}

// Report lists the key's versions from the newest down to the newest stable one.
func (l Calls) Report(ctx context.Context, req *ReportRequest) (Report, error) {
	r, reply := &drive.Request{}, &drive.Reply{}
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
			return Report{}, fmt.Errorf("drive %s: report: %w", l.D.ID(), err)
		}
		rep.Version.Slot = row.Slot
		out.Versions, out.Slot = append(out.Versions, rep), row.Slot
	}
	return out, nil
}

// PutUpload durably records an upload.
func (l Calls) PutUpload(ctx context.Context, at drive.Target, up *ondisk.Upload) error {
	req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqUpload, Key: at.Key, Upload: up.ID, Ballot: object.VersionRef{TS: up.TS, Write: up.ID}}, Opened: []*ondisk.Upload{up}}
	req.Set, req.Epoch, req.Revision = at.Set, at.Epoch, at.BucketRev
	var reply drive.Reply
	if err := l.do(ctx, req, &reply); err != nil {
		return err
	}
	if err := l.refused("put upload", &reply); err != nil || reply.OK {
		return err
	}
	return fmt.Errorf("drive %s: put upload: %w", l.D.ID(), drive.ErrStale)
}

// DropUpload removes an upload and gives its parts back.
func (l Calls) DropUpload(ctx context.Context, at drive.Target, upload object.WriteID) error {
	req := &drive.Request{Request: quorum.Request{Kind: quorum.ReqReport, Key: at.Key, All: true}}
	req.Epoch, req.Revision = l.D.Known(at.Set, at.Key.Bucket)
	req.Set, req.Sealed = at.Set, true
	var reply drive.Reply
	if err := l.D.Do(ctx, req, &reply); err != nil {
		return err
	}
	for { // above all: another may have its turn at the key
		next := &drive.Request{Request: quorum.Request{Kind: quorum.ReqDecide, Fence: req.Fence, Key: at.Key, Upload: upload}}
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
func (l Calls) Fence(ctx context.Context, bucket cluster.BucketID, revision uint64, sealed, removed bool) error {
	return drive.Fence(ctx, l.D, bucket, revision, sealed, removed)
}
