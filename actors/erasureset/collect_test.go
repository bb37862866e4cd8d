package erasureset

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// TestForgottenPromisesAreFound: what drives remember of conditional writes is not known to anybody after a
// restart. It goes once attempts of then are over, and not before.
func TestForgottenPromisesAreFound(t *testing.T) {
	f := newFixture(t, 5, nil)
	f.opt.Buckets = func() []cluster.Bucket { return []cluster.Bucket{f.bucket} }
	f.opt.SweepEvery = -1
	f.mustPut("there", pattern(1, 50))
	f.marks.flush()
	names := []string{"there"}
	for i := range 10 {
		names = append(names, fmt.Sprintf("absent/%d", i))
	}
	never := func(*Info) error { return object.ErrPrecondition }
	for _, name := range names {
		req := &PutRequest{Bucket: f.bucket, Key: name, Body: strings.NewReader("x"), Size: 1, If: never}
		if _, err := f.Put(f.ctx(), req); !errors.Is(err, object.ErrPrecondition) {
			t.Fatal(err)
		}
	}
	remembered := func() (n int) {
		for _, m := range f.mems {
			for _, name := range names {
				if s := m.KeyState(object.Key{Bucket: f.bucket.ID, Name: name}); s.Promise != (quorum.Ballot{}) {
					n++
				}
			}
		}
		return n
	}
	if n := remembered(); n < 3*len(names) {
		t.Fatalf("%d promises; this test shows nothing", n)
	}
	f.restart()
	if n := f.SweepTombstones(f.ctx(), 0); n != 0 {
		t.Errorf("%d keys are found while attempts of then may live", n)
	}
	later := func() time.Time { return time.Now().Add(drive.AttemptLife + time.Minute) }
	for _, m := range f.mems {
		m.SetClock(later)
	}
	f.opt.Clock = later
	f.restart()
	if n := f.SweepTombstones(f.ctx(), 0); n < len(names) {
		t.Errorf("%d keys are found of %d", n, len(names))
	}
	f.CollectTombstones(f.ctx())
	if n := remembered(); n != 0 {
		t.Errorf("%d promises are left", n)
	}
	if n := f.SweepTombstones(f.ctx(), 0); n != 0 {
		t.Errorf("%d keys are found although nothing is left", n)
	}
	f.mustGet("there", pattern(1, 50))
	f.mustPut("absent/1", pattern(2, 60))
	f.mustGet("absent/1", pattern(2, 60))
}

// TestWaitingKeysAreBoundedInMemory: names of any length, cut out of buffers of requests.
func TestWaitingKeysAreBoundedInMemory(t *testing.T) {
	for _, tc := range []struct {
		name  string
		queue func(*collector) *tombQueue
		put   func(*collector, object.Key)
	}{
		{"todo", func(c *collector) *tombQueue { return &c.todo }, func(c *collector, k object.Key) { c.add(k, 1) }},
		{"later", func(c *collector) *tombQueue { return &c.later }, func(c *collector, k object.Key) { c.addLater(k) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, size := range []int{8, 1000} {
				c := newCollector(nil)
				q := tc.queue(c)
				for i := range 200_000 {
					buffer := fmt.Sprintf("%08d%s", i, strings.Repeat("x", size-8))
					tc.put(c, object.Key{Bucket: 7, Name: buffer})
					if i == 0 && unsafe.StringData(q.list[0].key.Name) == unsafe.StringData(buffer) {
						t.Fatal("the name keeps the memory of the request")
					}
				}
				if got, want := q.bytes, len(q.list)*(q.each+size); got != want || want > q.limit || want < q.limit-q.each-size {
					t.Errorf("names of %d: %d bytes are counted, %d keys are %d; the limit is %d", size, got, len(q.list), want, q.limit)
				}
				if q == &c.later && len(c.known) != len(q.list) {
					t.Errorf("%d keys are known of %d", len(c.known), len(q.list))
				}
				for i := range q.list {
					q.list[i].due = time.Time{}
				}
				taken, before := 0, len(q.list)
				for batch := c.take(); len(batch) > 0; batch = c.take() {
					taken += len(batch)
				}
				if taken != before || q.bytes != 0 || len(c.known) != 0 {
					t.Errorf("%d of %d taken; %d bytes and %d names are left", taken, before, q.bytes, len(c.known))
				}
			}
		})
	}
}
