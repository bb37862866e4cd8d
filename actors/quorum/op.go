package quorum

import (
	"time"

	"holdfast/actors/object"
)

// An operation is a machine that one node runs for one key, from its first message to its last:
// Update (every change), Get, Heal, Collect and Resolve. All take Events and give Effects.

// Env is what the operations of one node share.
type Env struct {
	Rules  Rules
	Limits Limits
	Clock  Stamper
}

// Stamper is the clock of a node: a Clock, or one that many goroutines may use.
type Stamper interface {
	// Take gives a stamp above all those given and observed; false if there can be none now.
	Take(now time.Time) (object.Stamp, bool)
	Observe(object.Stamp)
	Halt()
}

// Limits are the times of operations.
type Limits struct {
	Write    WriteLimits
	Interval time.Duration // of stable marks: how long a reader waits before it resolves
	Life     time.Duration // how long an attempt may live: sets the horizon
	Tries    int           // rounds of prepare or read before an operation gives up
	Hedge    time.Duration // an answer to a read that is later is asked for elsewhere too; 0: never
}

// EventKind is what happened to an operation.
type EventKind uint8

// Events.
const (
	EvBegin  EventKind = iota + 1
	EvReply            // From answered request ID
	EvLost             // request ID to From has no answer and never will: offline, failed, timed out
	EvTick             // the time that Effect.Wake named has come
	EvConfig           // Config: the set has a newer epoch
	EvCopied           // Move: the newcomer holds every key
)

// Event is one event.
type Event struct {
	Kind   EventKind
	From   int
	ID     uint32
	Reply  *Reply
	Config *SetConfig
	// Reason says of an EvLost why there is no answer. Zero: unknown, the request may take effect yet.
	Reason Reason
}

// Send is one request to several members. Each gets a copy with its own Data flag where the
// operation has shards for it; Fence and Key are filled in.
type Send struct {
	To  Slots
	ID  uint32 // comes back with the reply
	Req Request
}

// Effect is what an operation wants. Sends is valid until its next step.
type Effect struct {
	Sends []Send
	Wake  time.Time // zero: none; replaces the last one
	// Done: the outcome is known and may be told. Over: no event is awaited any more; what still
	// arrives may be dropped. An operation that is done may go on (marks, stragglers).
	Done bool
	Over bool
}

// Status is how an operation ended.
type Status uint8

// Statuses.
const (
	StatusOK          Status = iota + 1
	StatusAbsent             // Get, or an update of something that is not there: 404. Get: Result.Version is the marker or tombstone met, if one was
	StatusFailed             // the precondition does not hold: 412
	StatusUnavailable        // nothing was done: 503
	StatusUnknown            // a write that may yet appear: 503 that says so
	StatusStale              // the bucket's revision or the set's epoch has changed: ask the control plane and begin anew; nothing was done
	StatusNoUpload           // Complete, Abort: there is no such upload
	StatusAhead              // the node's clock is refused (I22); nothing was done
)

// Result is what an operation came to.
type Result struct {
	Status  Status
	Version Version // what was written, or read
	// Cut: a drive that answered had lost the shard it was streaming (I21).
	Cut bool
	// Versions is the whole resolved list, of a Settle.
	Versions []Version
}

// CondKind is a precondition.
type CondKind uint8

// Preconditions.
const (
	CondNone    CondKind = iota
	CondAbsent           // If-None-Match: *
	CondBody             // If-Match: the current version's contents are Cond.Body
	CondPresent          // If-Match: *
	CondOwner            // what Cond.Judge says
)

// Cond is a precondition on the current version.
type Cond struct {
	Kind CondKind
	Body uint64
	// Judge is asked at the moment of the decision, with what Holds gets. It must not block.
	Judge func(cur *Version) bool
}

// Holds judges the precondition; cur is nil if the key is absent or deleted.
func (c Cond) Holds(cur *Version) bool {
	switch c.Kind {
	case CondAbsent:
		return cur == nil
	case CondBody:
		return cur != nil && cur.Body == c.Body
	case CondPresent:
		return cur != nil
	case CondOwner:
		return c.Judge(cur)
	}
	return true
}

// Target is the key an operation is about, and the configuration it acts under.
type Target struct {
	Key      object.Key
	Revision uint64 // of the bucket
	Sealed   bool   // the sender empties a sealed bucket: resolutions are let through
	Config   SetConfig
}

func (t *Target) fence() Fence {
	return Fence{Set: t.Config.ID, Epoch: t.Config.Epoch, Revision: t.Revision}
}

// IntentKind is what an Update changes.
type IntentKind uint8

// Kinds of Update.
const (
	Put      IntentKind = iota + 1 // a new version of Kind; prepared if there is a condition, plain otherwise
	Revise                         // new Meta on version At (none named: the current one): a revision
	Purge                          // remove version At for good
	Complete                       // a new version from Upload, if that is open
	Abort                          // end Upload
	Settle                         // change nothing: resolve whatever is in doubt
	Open                           // open a multipart upload named Write
)

// Intent is what an Update is to do.
type Intent struct {
	Kind   IntentKind
	Write  object.WriteID // names the write for ever; also the ballots'
	What   Kind           // Put: Object, Marker or Tombstone
	Null   bool
	Body   uint64
	Meta   uint64
	Staged bool // shards are streamed ahead: stamp above what the staged acks report
	Cond   Cond
	At     object.VersionID
	Upload object.WriteID
}
