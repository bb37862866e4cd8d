package drive

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// revision names one row of a key, and of no other key: write ids are random.
type revision struct {
	ref object.VersionRef
	rev object.Stamp
}

// cell is what the rows of one key say, as the protocol sees it. The loop keeps one for each key that
// a batch touches, so that operations of a batch see each other's changes; a reader fills one for
// itself. Its memory is used again.
type cell struct {
	key    object.Key
	prefix []byte // of the key's M rows
	state  quorum.KeyState
	rows   []row           // of state.Versions, in the same order
	ks     ondisk.KeyState // the row of the key itself, as read or written last
	stored bool            // it exists
	whole  bool            // all versions are loaded
	opened bool            // the uploads are loaded
	older  bool            // newer versions may have come since what is known by heart
	ended  bool            // Actor.ends has it
	loop   bool            // it is the loop's
	batch  uint64          // highest batch of a row that was read

	own    ondisk.VersionOwn // scratch
	known  []ended           // scratch
	seats  []quorum.Seat     // memory of the versions' Seats
	shared []byte            // memory of rows' shared parts, if they are kept
	lowest []byte            // key of the last row read

	was struct { // before a step
		versions []quorum.Version
		seats    []quorum.Seat // memory of their Seats
		promise  quorum.Ballot
		decision quorum.Decision
		dead     []quorum.DeadMark
		hints    []quorum.Hint
		uploads  []object.WriteID
		known    int // superseded attempts
		token    uint64
		revised  object.Stamp
		rows     []row
		gone     []int
	}
}

// row is what a drive keeps of a version beside what the protocol looks at.
type row struct {
	slot   uint8
	parts  bool // it has a part table
	size   int64
	data   ondisk.Ref
	at     ondisk.Location // of an inline shard
	shared []byte          // shared part of the row, if it was kept
}

// need is how much of a key a request has to see. Zero: from the newest version to the newest stable
// one that stands.
type need struct {
	all   bool
	until object.VersionRef // all from the newest version to the first that is older than this
	rows  bool              // keep the rows' shared parts
}

// needOf says how much of a key a request has to see, for quorum.Drive.Step to come to the same as if
// it saw all.
func needOf(req *quorum.Request) need {
	switch req.Kind {
	case quorum.ReqReport, quorum.ReqPrepare:
		n := need{all: req.All || req.At.Null}
		if req.At.Named {
			n.until = req.At.Ref
		}
		return n
	case quorum.ReqCommit:
		return need{until: req.Version.Ref}
	case quorum.ReqKill, quorum.ReqDrop:
		return need{until: req.Attempt.Ref}
	case quorum.ReqStage, quorum.ReqToken, quorum.ReqUpload: // they look at the newest stamps alone
		return need{}
	}
	return need{all: true}
}

// reset makes c the cell of another key.
func (c *cell) reset(key object.Key, prefix []byte) {
	c.key = key
	c.prefix = append(c.prefix[:0], prefix...)
	s := &c.state
	s.Versions, s.Dead, s.Uploads, s.Hints = s.Versions[:0], s.Dead[:0], s.Uploads[:0], s.Hints[:0]
	s.Superseded, s.Pins = s.Superseded[:0], s.Pins[:0]
	s.Promise, s.Decision = quorum.Ballot{}, quorum.Decision{}
	s.Revised, s.Token, s.Tokens = 0, 0, 0
	c.rows, c.seats, c.shared, c.lowest = c.rows[:0], c.seats[:0], c.shared[:0], c.lowest[:0]
	if c.ks.Batch != 0 || c.ks.Revised != 0 { // few keys have a row of their own
		c.ks = ondisk.KeyState{Dead: c.ks.Dead[:0], Hints: c.ks.Hints[:0], Unknown: c.ks.Unknown[:0]}
	}
	c.stored, c.whole, c.opened, c.older, c.ended, c.batch = false, false, false, false, false, 0
}

// load reads the key's rows as far as n wants them.
func (c *cell) load(a *Actor, it *pebble.Iterator, n need) error {
	return c.read(a, it, it.SeekPrefixGE(c.prefix), n)
}

// extend reads on from where the cell ends. What lies there no operation of this batch has changed:
// each has loaded what it changes.
func (c *cell) extend(a *Actor, it *pebble.Iterator, n need) error {
	if c.whole || c.enough(n) {
		return nil
	}
	ok := it.SeekPrefixGE(c.lowest)
	if ok && string(it.Key()) == string(c.lowest) {
		ok = it.Next()
	}
	return c.read(a, it, ok, n)
}

func (c *cell) read(a *Actor, it *pebble.Iterator, ok bool, n need) error {
	for ; ok; ok = it.Next() {
		key := it.Key()
		if len(key) == len(c.prefix) {
			if err := c.readState(it.Value()); err != nil {
				return err
			}
			continue
		}
		if c.enough(n) {
			c.state.Revised = c.ks.Revised
			return nil
		}
		if err := c.readRow(a, key, it.Value(), n); err != nil {
			return err
		}
	}
	c.whole, c.state.Revised = true, 0
	return it.Error()
}

// enough says whether the rows read so far are all that is wanted.
func (c *cell) enough(n need) bool {
	last := len(c.state.Versions) - 1
	if n.all || last < 0 {
		return false
	}
	if n.until != (object.VersionRef{}) && c.state.Versions[last].Ref.Compare(n.until) >= 0 {
		return false
	}
	for i := range c.state.Versions {
		if v := &c.state.Versions[i]; v.Stable && v.Kind != quorum.Purged && !c.purged(i) {
			return true
		}
	}
	return false
}

// purged says whether a newer revision of version i's is a removal that is stable.
func (c *cell) purged(i int) bool {
	for j := i - 1; j >= 0 && c.state.Versions[j].Ref == c.state.Versions[i].Ref; j-- {
		if v := &c.state.Versions[j]; v.Stable && v.Kind == quorum.Purged {
			return true
		}
	}
	return false
}

// readState takes the row of the key itself.
func (c *cell) readState(value []byte) error {
	if err := ondisk.DecodeKeyStateInto(&c.ks, value); err != nil {
		return err
	}
	c.stored, c.batch = true, max(c.batch, c.ks.Batch)
	s, ks := &c.state, &c.ks
	s.Promise = ks.Promise
	s.Decision = quorum.Decision{Ballot: ks.Decision.Ballot, Ref: ks.Decision.Ref, Rev: ks.Decision.Rev}
	for i := range ks.Dead {
		d := &ks.Dead[i]
		s.Dead = append(s.Dead, quorum.DeadMark{
			Attempt: quorum.Attempt{Ref: d.Ref, Rev: d.Rev, Epoch: d.Epoch, Null: d.Null}, Proven: d.Proven, Ballot: d.Ballot,
		})
	}
	for i := range ks.Hints {
		h := &ks.Hints[i]
		s.Hints = append(s.Hints, quorum.Hint{Ref: h.Ref, Rev: h.Rev, Missed: quorum.Slots(h.Slots)})
	}
	return nil
}

// readRow takes the next M row.
func (c *cell) readRow(a *Actor, key, value []byte, n need) error {
	_, _, ref, rev, err := ondisk.SplitVersionKey(key)
	if err != nil {
		return err
	}
	shared, err := ondisk.DecodeVersionOwn(&c.own, value)
	if err != nil {
		return err
	}
	view, err := ondisk.ViewVersion(shared)
	if err != nil {
		return fmt.Errorf("version of stamp %d: %w", ref.TS, err)
	}
	c.batch = max(c.batch, c.own.Batch)
	v := quorum.Version{
		Ref: ref, Rev: rev, Ballot: c.own.Ballot, Kind: quorum.Kind(view.Kind), Null: c.own.Null, Data: c.own.Data,
		Upload: c.own.Upload, Epoch: c.own.Epoch,
	}
	if r := (revision{ref, rev}); c.loop {
		v.Stable = a.pendingOf(r) == nil
	} else {
		v.Stable = a.unstable(r) == nil
	}
	if v.Ballot == (quorum.Ballot{}) {
		v.Ballot = ref
	}
	if !v.Stable {
		at := len(c.seats)
		for _, s := range c.own.Seats {
			if s.Ballot == (quorum.Ballot{}) {
				s.Ballot = ref
			}
			c.seats = append(c.seats, quorum.Seat(s))
		}
		v.Seats = c.seats[at:len(c.seats):len(c.seats)]
	}
	r := row{slot: c.own.Slot, size: view.Size, parts: view.Parts > 0, at: c.own.At}
	if view.Refs > 0 {
		r.data = view.Ref
	}
	if n.rows {
		at := len(c.shared)
		c.shared = append(c.shared, shared...)
		r.shared = c.shared[at:len(c.shared):len(c.shared)]
	}
	c.state.Versions = append(c.state.Versions, v)
	c.rows = append(c.rows, r)
	c.lowest = append(c.lowest[:0], key...)
	return nil
}

// place is where a row of the key has the inline shard of an oid.
func (c *cell) place(oid object.OID) ondisk.Location {
	for i := range c.was.rows {
		if r := &c.was.rows[i]; r.data.OID == oid && !r.at.IsZero() {
			return r.at
		}
	}
	return ondisk.Location{}
}

// index is the place of a revision among the versions, -1 if it is not there.
func (c *cell) index(ref object.VersionRef, rev object.Stamp) int {
	list := c.state.Versions
	at := quorum.Version{Ref: ref, Rev: rev}
	lo, hi := 0, len(list)
	for lo < hi { // a key may have very many, and an answer asks for each
		if mid := int(uint(lo+hi) / 2); newer(&list[mid], &at) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(list) && list[lo].Is(ref, rev) {
		return lo
	}
	return -1
}
