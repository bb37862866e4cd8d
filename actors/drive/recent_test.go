package drive

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// A name counts as recent from the batch that changed it until a flush reached that batch, and
// every name does while it is not known what the memtables hold.
func TestRecentNames(t *testing.T) {
	var r recent
	r.init()
	a, b := []byte("Ma"), []byte("Mb")
	flush := func(seq uint64) {
		r.flush(pebble.FlushInfo{Output: []pebble.TableInfo{{LargestSeqNum: pebble.SeqNum(seq)}, {LargestSeqNum: 3}}})
	}
	add := func(seq uint64, names ...[]byte) {
		var hashes []uint64
		for _, n := range names {
			hashes = append(hashes, r.hash(n))
		}
		r.add(hashes, seq)
	}
	want := func(what string, hasA, hasB bool) {
		t.Helper()
		if r.has(a) != hasA || r.has(b) != hasB {
			t.Fatalf("%s: a %t, b %t", what, r.has(a), r.has(b))
		}
	}
	r.begin()
	want("new", true, true)
	add(10, a)
	r.begin()
	want("before any flush", true, true)
	flush(9)
	r.begin()
	want("a flush of what was replayed", true, true)
	flush(12)
	want("a flush in the middle of a batch", true, true)
	r.begin()
	want("flushed", false, false)
	add(20, b)
	want("changed", false, true)
	add(30, a)
	flush(20)
	r.begin()
	want("one span is flushed when its last batch is", true, true)
	flush(30)
	r.begin()
	want("flushed again", false, false)
	add(40, a)
	add(0, b)
	flush(41)
	r.begin()
	want("behind a large batch", true, true)
	add(50)
	flush(50)
	r.begin()
	want("known again", false, false)
	for i := range uint64(maxRecent + 2) {
		r.add([]uint64{i}, 60+i)
	}
	r.begin()
	want("too many", true, true)
	r.flush(pebble.FlushInfo{Err: pebble.ErrClosed, Output: []pebble.TableInfo{{LargestSeqNum: 1 << 40}}})
	r.begin()
	want("a flush that failed", true, true)
}
