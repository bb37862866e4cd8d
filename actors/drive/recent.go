package drive

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// recent tells which names have changes of M rows that may lie in a memtable only. The usual look-up
// before a commit is that of a name without any, and the memtables are the dear part of it: a walk
// through a list of thousands of rows, which a filter cannot shorten. A name that is not recent is
// looked up in the tables alone.
//
// Sequence numbers of the index tell what is flushed. Memtables are flushed oldest first and a
// batch lies in one of them, so with any number of a batch all before it are in tables. Nothing is
// known of the rows that Open replays until a flush has reached the first batch of this life.
type recent struct {
	flushed atomic.Uint64 // highest sequence number seen in a flushed table

	// owned by loop
	seed  maphash.Seed
	first uint64     // sequence number of the first batch that is accounted for, 0 before it
	names int        // in all spans
	spans []nameSpan // oldest first
	upto  uint64     // flushed at the start of this batch
}

// nameSpan holds the hashes of the names that a run of batches changed.
type nameSpan struct {
	names map[uint64]struct{}
	last  uint64 // sequence number of the last of the batches
}

const (
	// spanNames is how many names share a span, which is given up as a whole.
	spanNames = 4096
	// maxRecent bounds the names of one drive. Beyond it the account begins anew.
	maxRecent = 1 << 17
)

func (r *recent) init() { r.seed = maphash.MakeSeed() }

// flush notes what a flush has put into tables. Pebble calls it when new readers see them.
func (r *recent) flush(info pebble.FlushInfo) {
	if info.Err != nil {
		return
	}
	for i := range info.Output {
		r.flushed.Store(max(r.flushed.Load(), uint64(info.Output[i].LargestSeqNum)))
	}
}

func (r *recent) hash(name []byte) uint64 { return maphash.Bytes(r.seed, name) }

// begin fixes what counts as flushed for a batch: it comes before the batch's first reader, which
// then sees those tables.
func (r *recent) begin() {
	r.upto = r.flushed.Load()
	n := 0
	for n < len(r.spans) && r.spans[n].last <= r.upto {
		r.names -= len(r.spans[n].names)
		n++
	}
	r.spans = append(r.spans[:0], r.spans[n:]...)
}

// has says whether the memtables have to be asked for a name.
func (r *recent) has(name []byte) bool {
	if r.first == 0 || r.first > r.upto {
		return true
	}
	h := r.hash(name)
	for i := range r.spans {
		if _, ok := r.spans[i].names[h]; ok {
			return true
		}
	}
	return false
}

// add notes the names that a batch has changed. seq is its sequence number; 0 is that of a batch too
// large for a memtable, of which Pebble tells nothing: the account begins anew behind it.
func (r *recent) add(names []uint64, seq uint64) {
	if seq == 0 {
		r.first, r.names, r.spans = 0, 0, nil
		return
	}
	if r.first == 0 {
		r.first = seq
	}
	if len(names) == 0 {
		return
	}
	if r.names > maxRecent {
		r.first, r.names, r.spans = seq, 0, nil
	}
	if n := len(r.spans); n == 0 || len(r.spans[n-1].names) >= spanNames {
		r.spans = append(r.spans, nameSpan{names: make(map[uint64]struct{}, spanNames/4)})
	}
	s := &r.spans[len(r.spans)-1]
	before := len(s.names)
	for _, h := range names {
		s.names[h] = struct{}{}
	}
	s.last = seq
	r.names += len(s.names) - before
}
