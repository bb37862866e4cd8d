package erasureset

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"holdfast/actors/object"
)

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
