package drive

import (
	"context"
	"io"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// Doer carries out the protocol: requests of quorum's operations, decided by quorum.Drive.Step on
// what the drive's rows say.
type Doer interface {
	// Do carries out one request and answers when what the answer speaks of is durable, stable marks
	// excepted (I1). A refusal is an answer, not an error. reply is overwritten and its memory used
	// again; what it holds is valid until the next Do with it. An error means that there is no answer:
	// ErrFailed, ErrFull, ErrBusy, ErrOffline, ErrDamaged (a row of the key cannot be read: the drive
	// knows nothing of it, which is not absence), ErrNoShard (the shard to be committed was not staged
	// and synced here), ErrNoUpload, ctx's. After ErrFull, ErrBusy, ErrOffline, ErrNoShard and
	// ErrNoUpload nothing was done; after any other the request may yet take effect.
	Do(ctx context.Context, req *Request, reply *Reply) error
	// DoAll carries out many requests together, each for itself and in no order: those that change
	// rows share one batch. The answer or error of each is in its Call. Request and reply of one that
	// has an error are not the caller's any more: the drive may yet work on them.
	DoAll(ctx context.Context, calls []Call)
	// Mark queues ReqMark requests, all or none. It returns at once; marks become durable with a later
	// batch, within 1 s.
	Mark(marks []Mark) error
}

// Starter is a Drive whose commits need no goroutine that waits in them. A coordinator that offers a
// version to n drives would otherwise wake and be woken by n of them.
type Starter interface {
	// Start is Do without the wait. It copies what it needs of req and returns at once. If it says that
	// the request was started, to.Answered is called once with the answer, by any goroutine; the errors
	// are Do's, but no deadline is kept: a drive that hangs answers when it fails. Else nothing was
	// done and to is not called: with an error that is the answer, without one the drive cannot say at
	// once, and Do is to be called.
	Start(req *Request, to Receiver, tag int) (started bool, err error)
}

// Receiver takes the answers of started requests.
type Receiver interface {
	// Answered brings the answer of the request that was started with tag. reply is valid during the
	// call. It must not block: the drive's writer calls it.
	Answered(tag int, reply *Reply, err error)
}

// Request is a request of the protocol and what goes with it to one drive. It belongs to the callee
// until Do returns.
//
//	ReqReport, ReqPrepare    WithRows, WithShard, Synced, NoUploads
//	ReqCommit                Payload (of Version)
//	ReqUpload                Opened, one: the upload's row
//	ReqHeal                  Payloads of Versions, Opened of Uploads, both in the same order
//
// All other kinds need nothing beside quorum.Request. Version.Body, Meta and Stable are not looked
// at: the row says what a version is. Of ReqFence and ReqAdopt only Key.Bucket and Set count.
type Request struct {
	quorum.Request
	Payload
	Payloads []Payload
	Opened   []*ondisk.Upload
	// WithRows also returns the rows of the reported versions.
	WithRows bool
	// WithShard also returns the newest reported version's inline shard, or a reader for it, so that
	// a GET needs one call. A shard that is missing or damaged leaves both nil and the version's Data
	// as it is: the row is evidence all the same. A multipart object has neither, but is held. If Pin is set it
	// names the reader, and ReqUnpin closes it; else Close does.
	WithShard bool
	// Synced waits until the stable marks that the answer speaks of are durable, at most 1 s; without
	// it Version.Synced may be false for want of knowing.
	Synced bool
	// NoUploads says of a report that nobody needs to know of the key's uploads, which cost a look of their own.
	NoUploads bool
}

// Payload is what a drive stores of a version beside what the protocol knows of it.
type Payload struct {
	// Row is the shared part of the version row (ondisk.AppendVersion), the same on every drive.
	Row []byte
	// Size and OID repeat what Row says, so that the drive need not decode it.
	Size int64
	OID  object.OID // zero: no data
	// Inline is the shard when it is small enough to lie in the index; nil otherwise.
	Inline []byte
	// Staged says that the shard was staged on this drive under OID. Of a multipart object: that those
	// of Parts were, each under its own, or are in PartInline; else its upload has them.
	Staged bool
	// Again says that the same data was offered to this drive before, or may have been: what it still has
	// of it is used, and what it is about to give back makes it answer ErrNoShard.
	Again bool
	// Parts is the part table of a multipart object.
	Parts []ondisk.Part
	// PartInline are the inline shards of Parts, in the same order; nil for those that were staged.
	PartInline [][]byte
}

// Reply is a drive's answer. All of it is the caller's until the next Do with the same Reply, but
// Shard and Hold, which Release closes. Version.Body and Meta are zero: Rows say what a version is. Uploads
// are those of a request with All.
type Reply struct {
	quorum.Reply
	// Rows are those of Versions, in the same order, if asked for.
	Rows []Row
	// Batch is the durable batch of the drive that holds an accepted commit: its watermark.
	Batch uint64
	// Inline is the shard of Versions[0] if asked for and inline, its checksum verified.
	Inline []byte
	// Shard is a pinned reader for the data of Versions[0] if asked for and not inline.
	Shard ShardReader
	// Hold keeps the part table and all parts of Versions[0], a multipart object, if its shard was
	// asked for; nil if they are gone.
	Hold io.Closer

	seats []quorum.Seat // memory of Versions' Seats
	bytes []byte        // memory of Rows and Inline
}

// Row is what a drive stores of one version.
type Row struct {
	Shared []byte // the shared part of the version row, for ondisk.DecodeShared and for handing on unchanged
	Slot   uint8  // of the coding matrix, that this drive's shard belongs to
}

// Call is one request of a DoAll.
type Call struct {
	Req   *Request
	Reply *Reply
	Err   error
}

// Mark says that a revision is chosen (I10): a quorum.ReqMark without its fence, which it has none.
type Mark struct {
	Key    object.Key
	Set    cluster.SetID
	Ref    object.VersionRef
	Rev    object.Stamp // zero: the version's first
	Missed quorum.Slots // slots (SetConfig.SlotsOf) that did not take it: the drive keeps an H row for each
}

// Request is m as a request of the protocol.
func (m *Mark) Request() *Request {
	req := &Request{Request: quorum.Request{Kind: quorum.ReqMark, Key: m.Key, Missed: m.Missed}}
	req.Set, req.Version.Ref, req.Version.Rev = m.Set, m.Ref, m.revision().rev
	return req
}

// revision is the row that m is about.
func (m *Mark) revision() revision {
	if m.Rev == 0 {
		return revision{m.Ref, m.Ref.TS}
	}
	return revision{m.Ref, m.Rev}
}

// AttemptLife is how long an attempt may live (quorum.Limits.Life): a drive forgets what concerns
// older ones, and their coordinators give them up after half of it.
const AttemptLife = 10 * time.Minute

// Release closes what is open of a reply.
func (r *Reply) Release() {
	if r.Shard != nil {
		_ = r.Shard.Close() // nothing was written through it
		r.Shard = nil
	}
	if r.Hold != nil {
		_ = r.Hold.Close()
		r.Hold = nil
	}
}

// Reset empties r and keeps its memory. It releases nothing.
func (r *Reply) Reset() {
	*r = Reply{
		Reply: quorum.Reply{
			Versions: r.Versions[:0], Dead: r.Dead[:0], Uploads: r.Uploads[:0], Hints: r.Hints[:0],
		},
		Rows: r.Rows[:0], seats: r.seats[:0], bytes: r.bytes[:0],
	}
}

// CopyFrom makes r's protocol part a copy of q that shares no memory with the state it came from.
// What lies beside it is empty then.
func (r *Reply) CopyFrom(q *quorum.Reply) {
	versions, dead, uploads, hints := r.Versions[:0], r.Dead[:0], r.Uploads[:0], r.Hints[:0]
	r.Reply = *q
	r.Rows, r.seats, r.bytes = r.Rows[:0], r.seats[:0], r.bytes[:0]
	r.Batch, r.Inline, r.Shard, r.Hold = 0, nil, nil, nil
	r.Versions = append(versions, q.Versions...)
	for i := range r.Versions {
		v := &r.Versions[i]
		n := len(r.seats)
		r.seats = append(r.seats, v.Seats...)
		v.Seats = r.seats[n:len(r.seats):len(r.seats)]
	}
	r.Dead, r.Uploads, r.Hints = append(dead, q.Dead...), append(uploads, q.Uploads...), append(hints, q.Hints...)
}

// addRow adds what is stored of the next version.
func (r *Reply) addRow(shared []byte, slot uint8) {
	n := len(r.bytes)
	r.bytes = append(r.bytes, shared...)
	r.Rows = append(r.Rows, Row{Shared: r.bytes[n:len(r.bytes):len(r.bytes)], Slot: slot})
}
