package drive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
)

// manyMsg is many requests in one batch. The requests and replies are their caller's, who does not
// touch them before the answer, and never again if there is none.
type manyMsg struct {
	reply
	calls []Call
	heavy []*stepMsg // of those that bring data, in order; nil: the step is made when it is taken
	keys  [][]byte   // prefixes of the keys
	bytes int
	step  stepMsg  // scratch
	empty [][]byte // prefixes of keys that have no row left, if that is asked for
}

const (
	// maxMany is how many requests one message carries, so that the loop is not held up for long.
	maxMany = 512
	// maxLook is how many reports share one view of the index.
	maxLook = 256
)

func (*manyMsg) isMsg() {}

func (m *manyMsg) weight() int { return m.bytes }

// apply implements message.
func (m *manyMsg) apply(b *batch) error {
	for i := range m.calls {
		if m.one(b, i); b.err != nil {
			return b.err
		}
	}
	return nil
}

// one carries out request i.
func (m *manyMsg) one(b *batch, i int) {
	c, s := &m.calls[i], m.heavy[i]
	if s == nil {
		s = &m.step
		*s = stepMsg{req: c.Req.Request, prefix: m.keys[i], rows: c.Req.WithRows}
	}
	s.out = *c.Reply
	s.out.Reset()
	c.Err = s.apply(b)
	*c.Reply = s.out
	if b.err == nil && m.empty != nil && b.empty(m.keys[i]) {
		m.empty = append(m.empty, m.keys[i])
	}
}

// brings says whether a request has more with it than the protocol's part.
func brings(req *Request) bool {
	switch req.Kind {
	case quorum.ReqCommit, quorum.ReqHeal, quorum.ReqUpload:
		return true
	}
	return false
}

// DoAll implements Doer.
func (a *Actor) DoAll(ctx context.Context, calls []Call) {
	var looks, steps []*Call
	collects := true
	for i := range calls {
		c := &calls[i]
		switch c.Req.Kind {
		case quorum.ReqReport:
			if !c.Req.WithShard && c.Req.Pin == (quorum.PinID{}) {
				looks = append(looks, c)
				continue
			}
			fallthrough
		case quorum.ReqStage, quorum.ReqFetch, quorum.ReqUnpin, quorum.ReqMark:
			c.Err = a.Do(ctx, c.Req, c.Reply)
		default:
			collects = collects && c.Req.Kind == quorum.ReqCollect
			steps = append(steps, c)
		}
	}
	if len(looks) > 0 {
		a.lookAll(ctx, inKeyOrder(looks))
	}
	if collects {
		steps = inKeyOrder(steps)
	}
	for len(steps) > 0 {
		n := min(len(steps), maxMany)
		a.many(ctx, steps[:n], collects)
		steps = steps[n:]
	}
}

// inKeyOrder sorts calls as their keys lie in the index.
func inKeyOrder(calls []*Call) []*Call {
	slices.SortFunc(calls, func(x, y *Call) int {
		return cmp.Or(cmp.Compare(x.Req.Key.Bucket, y.Req.Key.Bucket), strings.Compare(x.Req.Key.Name, y.Req.Key.Name))
	})
	return calls
}

// fail gives all calls one error.
func fail(calls []*Call, err error) {
	for _, c := range calls {
		c.Err = err
	}
}

// many sends up to maxMany requests as one message.
func (a *Actor) many(ctx context.Context, calls []*Call, collects bool) {
	all := manyMsg{reply: newReply(), calls: make([]Call, len(calls)), heavy: make([]*stepMsg, len(calls)), keys: make([][]byte, len(calls))}
	buf := make([]byte, 0, 64*len(calls))
	for i, c := range calls {
		all.calls[i] = Call{Req: c.Req, Reply: c.Reply} // Err is the caller's at once
		n := len(buf)
		buf = ondisk.AppendVersionPrefix(buf, c.Req.Key)
		all.keys[i] = buf[n:len(buf):len(buf)]
		all.bytes += len(all.keys[i]) + 256
		if !brings(c.Req) {
			continue
		}
		s := &stepMsg{}
		if err := s.encode(a, c.Req); err != nil {
			fail(calls, a.wrap(fmt.Errorf("encode: %w", err)))
			return
		}
		all.heavy[i] = s
		all.bytes += s.weight()
	}
	var m message = &all
	if collects {
		m = &collectMsg{all}
	}
	if answered, err := a.do(ctx, m); err != nil || !answered {
		fail(calls, err)
		return
	}
	for i, c := range calls {
		if c.Err = all.calls[i].Err; errors.Is(c.Err, errPieces) {
			c.Err = a.Do(ctx, c.Req, c.Reply)
		}
		if c.Err == nil {
			c.Reply.Batch = min(c.Reply.Batch, a.gate.durable.Load())
		}
	}
}

// lookAll answers reports that want no shard, which are in the order of their keys.
func (a *Actor) lookAll(ctx context.Context, calls []*Call) {
	synced := slices.ContainsFunc(calls, func(c *Call) bool { return c.Req.Synced })
	if synced {
		if err := a.flushMarks(ctx); err != nil {
			fail(calls, err)
			return
		}
	}
	for some := range slices.Chunk(calls, maxLook) {
		err := a.lookSome(ctx, some)
		switch {
		case errors.Is(err, errMoved):
			for _, c := range some {
				c.Err = a.Do(ctx, c.Req, c.Reply)
			}
		case err != nil:
			fail(some, a.wrap(fmt.Errorf("report: %w", err)))
		}
	}
	if synced && a.marked.Load() > a.gate.durable.Load() {
		if err := a.flushMarks(ctx); err != nil {
			fail(calls, err)
			return
		}
	}
	for _, c := range calls {
		for i := range c.Reply.Versions {
			c.Reply.Versions[i].Synced = c.Req.Synced && c.Reply.Versions[i].Stable
		}
	}
}

// lookSome answers some of them from one view of the index.
func (a *Actor) lookSome(ctx context.Context, calls []*Call) (err error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return err
	}
	defer a.end(a.readers)
	c := a.reads.get()
	defer a.reads.put(c)
	drops := a.drops.Load() // before the view is taken
	now := object.StampAt(a.o.Clock())
	c.known = a.endsOf(c.known[:0], calls)
	var it *pebble.Iterator
	batch := uint64(0)
	for i, x := range calls {
		x.Reply.Reset()
		if e := &c.known[i]; e.ref != (object.VersionRef{}) {
			c.reset(x.Req.Key, nil)
			c.ends(e)
		} else {
			if it == nil {
				if it, err = a.db.NewIter(&pebble.IterOptions{UseL6Filters: true}); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, it.Close()) }()
			}
			if x.Err = damaged(a.fill(c, it, x.Req)); x.Err != nil {
				x.Err = a.wrap(fmt.Errorf("report %q: %w", x.Req.Key.Name, x.Err))
				continue
			}
		}
		a.look(c, now, x.Req, x.Reply)
		batch = max(batch, c.batch)
	}
	if a.drops.Load() != drops {
		return errMoved // one of them may have looked stable
	}
	return a.gate.pass(ctx, batch, a.health.Failed())
}
