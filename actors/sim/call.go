package sim

import "holdfast/actors/object"

// callKind is what a client asked for.
type callKind uint8

const (
	callGet callKind = iota + 1
	callPut
	callDelete
	callPutIfAbsent // If-None-Match: *
	callPutIfMatch  // If-Match: the value want
	callDeleteIfMatch
	callTag      // metadata revision of whatever object stands
	callUpload   // opens a multipart upload named value
	callComplete // makes the upload want the object, if it is open
	callAbort    // ends the upload want, if it is open
	// Of versioned keys only:
	callPutNull  // a PUT while versioning is suspended
	callPurge    // removes the version named want
	callVersions // lists all versions
	callKinds
	// Of worlds with bucket life only:
	callList
	callCreate
	callDrop   // deletes the bucket
	callFreeze // forbids writes, or lets them again
	callListed // what a page of a list says of one name
	// Of versioned keys again, see Plan.drawNamed:
	callGetAt      // a GET of a version by its id
	callTagAt      // a metadata revision of a version by its id
	callDeleteNull // a DELETE while versioning is suspended: the null version is a marker
	callPages      // lists all versions of all keys, page after page
	callListedAt   // what a page of that says of one version
)

// never is the return time of a call that was never answered.
const never = int64(1) << 62

// call is one operation on one key as its client saw it. Values are names of writes, 0 is absence.
type call struct {
	kind        callKind
	refused     bool   // the precondition was found false, or there was nothing to tag
	value       uint16 // written, or read
	tag         uint16 // written, or read
	want        uint16 // of a condition
	write       uint16 // its number
	upload      uint8  // the upload's number among those of the key
	name        uint8  // in a world with bucket life
	gone        bool   // there was no bucket
	locked      bool   // a purge that spares what is held
	held        bool   // ... and found it so
	null        bool   // the version id is "null"
	hidden      bool   // an unanswered null version, and no call names the null version by its id
	completes   bool   // it was a completion, whatever became of it
	maybe       bool   // another completion of the upload was left unfinished: nobody may know what became of it
	list        shelf  // that was listed
	invoke, ret int64
	deadline    int64             // in simulated time: the client gives up
	ref         object.VersionRef // version written, or named by want
	client      int16
}

// reads says that the call changes nothing.
func (c *call) reads() bool {
	switch c.kind {
	case callGet, callGetAt, callVersions, callListed, callPages, callListedAt:
		return true
	}
	return false
}

// makes says that the call makes a version of its own, of which its client is told.
func (c *call) makes() bool {
	switch c.kind {
	case callTag, callTagAt, callPurge, callUpload, callComplete, callAbort:
		return false
	}
	return !c.reads()
}

// deletes says that what the call makes is a delete marker, or the end of a key.
func (k callKind) deletes() bool {
	return k == callDelete || k == callDeleteIfMatch || k == callDeleteNull
}

// changesNothing says that the call's answer shows that it did not.
func (c *call) changesNothing() bool { return c.reads() || c.refused && !c.maybe || c.gone }

// register is the state of a key without versions: the sequential specification. An object starts with its value as tag.
type register struct {
	value, tag uint16
	open       uint64 // bit per upload of the key
}

// judged holds a call's answer against the condition it had: done says that the call changes nothing,
// ok that the answer is right, cur being the value that stands. An unanswered call takes effect only
// where its condition holds.
func (c *call) judged(cur uint16) (done, ok bool) {
	var holds bool
	switch c.kind {
	case callPutIfAbsent:
		holds = cur == 0
	case callPutIfMatch, callDeleteIfMatch:
		holds = cur == c.want && cur != 0
	case callTag:
		holds = cur != 0
	default:
		return false, true
	}
	return c.refused, holds != c.refused
}

// apply steps the specification; ok says whether the call could have this answer in this state.
func (s register) apply(c *call) (after register, ok bool) {
	if done, ok := c.judged(s.value); !ok || done {
		return s, ok
	}
	switch c.kind {
	case callGet:
		return s, c.value == s.value && c.tag == s.tag
	case callDelete, callDeleteIfMatch:
		return register{open: s.open}, true
	case callTag:
		return register{s.value, c.tag, s.open}, true
	case callUpload:
		return register{s.value, s.tag, s.open | 1<<c.upload}, true
	case callComplete, callAbort:
		return s.decide(c)
	}
	return register{c.value, c.value, s.open}, true
}

// decide is the one decision of an upload (I27). Completing again answers as before while the object
// stands; otherwise an upload that is not open is unknown.
func (s register) decide(c *call) (after register, ok bool) {
	open := s.open>>c.upload&1 != 0
	if c.kind == callComplete && s.value == c.want {
		return s, !c.refused
	}
	if !open {
		return s, c.refused
	}
	s.open &^= 1 << c.upload
	if c.refused { // gone with a completion, for good
		return s, c.maybe
	}
	if c.kind == callComplete {
		s.value, s.tag = c.want, max(c.want, c.tag)
	}
	return s, true
}

func (s register) hash() uint64 { return uint64(s.value)<<16 | uint64(s.tag) ^ mix(s.open) }

func (register) blind(_, _ *call) bool { return false }
func (register) hides(*call) bool      { return false }
