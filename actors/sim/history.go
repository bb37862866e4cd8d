package sim

import "holdfast/actors/quorum"

// Kind is what an operation of a History asked for.
type Kind = callKind

// The kinds as others see them. Value, Tag and Want are numbers of writes, 0 is absence.
const (
	Get           = callGet           // answered with the value and tag that stand
	Put           = callPut           // writes the value
	Delete        = callDelete        // with versions: puts a delete marker named by the value on top
	PutIfAbsent   = callPutIfAbsent   // refused if something stands
	PutIfMatch    = callPutIfMatch    // refused unless Want stands
	DeleteIfMatch = callDeleteIfMatch // refused unless Want stands
	Tag           = callTag           // tags what stands; refused if nothing does
	Upload        = callUpload        // opens the upload
	Complete      = callComplete      // ends the upload and makes Want; refused if it is not open and Want does not stand
	Abort         = callAbort         // ends the upload; refused if it is not open
	PutNull       = callPutNull       // replaces the null version
	DeleteNull    = callDeleteNull    // replaces the null version by a null marker
	Purge         = callPurge         // removes a version by its id; refused if there is none, or it is held
	GetAt         = callGetAt         // reads a version by its id
	TagAt         = callTagAt         // tags a version by its id; refused if there is none
	Versions      = callVersions      // lists all versions, newest last
	ListedAt      = callListedAt      // what a page of a list says of one version: its value, 0 if it is left out
	List          = callList          // shows that there was no bucket; else it stands as one Listed for each name
	Listed        = callListed        // what a page of a list says of one name
	Create        = callCreate        // refused if the bucket exists
	Drop          = callDrop          // deletes the bucket; refused if it is not empty
	Freeze        = callFreeze        // forbids writes if Value is not 0, else lets them again
)

// Never is the return time of an operation that was never answered.
const Never = never

// Operation is one operation as its client saw it.
type Operation struct {
	Kind             Kind
	Client           int
	Invoke, Return   int64 // no two moments of a run are equal; Never
	Value, Tag, Want uint16
	Upload           uint8 // the upload's number among those of the key
	Name             uint8 // of a key, in a bucket's history
	Null             bool  // the version is named "null", not Want
	Locked           bool  // a purge that spares versions whose tag is odd
	Refused          bool  // the condition was found false
	Held             bool  // refused, because the version is held
	Gone             bool  // there was no bucket
	List             []Row // of Versions
}

// Row is a version in a list.
type Row struct {
	Value, Tag   uint16
	Null, Marker bool
}

// Spec says which sequential specification a history is held to.
type Spec uint8

// The specifications.
const (
	SpecRegister Spec = iota + 1 // a key without versions
	SpecVersions                 // a versioned key
	SpecBucket                   // a bucket that comes and goes, with its keys
)

func (s Spec) String() string { return [...]string{"none", "register", "versions", "bucket"}[s] }

// Verdict is what a checker says of a history.
type Verdict uint8

// The verdicts.
const (
	Linearizable Verdict = iota + 1
	NotLinearizable
	Undecided
)

func (v Verdict) String() string {
	return [...]string{"none", "linearizable", "not linearizable", "undecided"}[v]
}

// History is what the clients of one run saw of one key, or of the bucket, and what the simulator's own
// checker says of it. Operations that are known not to have happened are left out, and reads without an
// answer. What answers cannot be held to (see excuse) is not taken out: whoever judges does that himself.
type History struct {
	Key     int
	Spec    Spec
	Ops     []Operation
	Verdict Verdict
}

// Histories makes the world hand out the history of each key at the end of each run, of one that broke
// another rule as well. It is for a second opinion: the checker of this package is no other's.
func (w *World) Histories(take func(History)) { w.take = take }

// Histories plays the schedule without some rules and hands its histories out.
func (s *Schedule) Histories(off quorum.Rules, take func(History)) error {
	_, err := s.play(off, nil, take)
	return err
}

// historyOf copies the history of a key before it is judged.
func (w *World) historyOf(key int) History {
	h := History{Key: key, Spec: SpecRegister}
	switch {
	case w.plan.buckets:
		h.Spec = SpecBucket
	case w.plan.versioned:
		h.Spec = SpecVersions
	}
	for i := range w.calls[key] {
		c := &w.calls[key][i]
		if c.kind == 0 || c.ret == never && (c.reads() || c.kind == callList) {
			continue
		}
		o := Operation{
			Kind: c.kind, Client: int(c.client), Invoke: c.invoke, Return: c.ret, Value: c.value, Tag: c.tag, Want: c.want,
			Upload: c.upload, Name: c.name, Null: c.null, Locked: c.locked, Refused: c.refused, Held: c.held, Gone: c.gone,
		}
		for r := range c.list.n {
			row := &c.list.row[r]
			o.List = append(o.List, Row{row.value &^ isMarker, row.tag, row.null, row.value&isMarker != 0})
		}
		h.Ops = append(h.Ops, o)
	}
	return h
}

// Judge asks the checker of the simulator about a history, e.g. one in which an answer was changed.
func (h *History) Judge() Verdict {
	calls := make([]call, 0, len(h.Ops))
	for i := range h.Ops {
		o := &h.Ops[i]
		c := call{
			kind: o.Kind, client: int16(o.Client), invoke: o.Invoke, ret: o.Return, value: o.Value, tag: o.Tag, want: o.Want,
			upload: o.Upload, name: o.Name, null: o.Null, locked: o.Locked, refused: o.Refused, held: o.Held, gone: o.Gone,
			completes: o.Kind == callComplete,
		}
		for _, r := range o.List {
			row := kept{value: r.Value, tag: r.Tag, null: r.Null}
			if r.Marker {
				row.value |= isMarker
			}
			c.list.push(row)
		}
		calls = append(calls, c)
	}
	excuse(calls)
	switch h.Spec {
	case SpecBucket:
		return verdictOf(new(checker[space]).judge(calls))
	case SpecVersions:
		return verdictOf(new(checker[shelf]).judge(calls))
	}
	return verdictOf(new(checker[register]).judge(calls))
}

// verdictOf names the outcome of a search.
func verdictOf(ok bool, wide int) Verdict {
	switch {
	case wide > maxStates:
		return Undecided
	case ok:
		return Linearizable
	}
	return NotLinearizable
}
