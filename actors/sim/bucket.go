package sim

import (
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// Some worlds have a bucket that clients create, freeze and delete, and keys in it that they list. A
// name has one key for each incarnation of the bucket, so that what leaks from one to another is seen.

const (
	names        = 3 // of keys in a bucket
	incarnations = maxKeys / names
)

// bucketRecord is what the control plane says of the bucket. It stands in one log with the records of the
// sets: whoever knows a record knows all that were committed before it.
type bucketRecord struct {
	incarnation int // 1, 2 ..; 0 = there was none yet
	removed     bool
	sealed      bool
	frozen      bool // a setting that coordinators obey: no writes
	revision    uint64
	at          int64           // when it was committed
	epochs      [maxSets]uint64 // newest records of the sets
}

func (b *bucketRecord) live() bool { return b.incarnation > 0 && !b.removed }

// keyOfName is the key of a name in an incarnation.
func keyOfName(name uint8, incarnation int) int { return (incarnation-1)*names + int(name) }

// incarnationOf is the inverse; keys of worlds without bucket life are all of the first.
func incarnationOf(key int) int { return 1 + key/names }

// foundBucket begins the log: with no bucket, or, in a world without bucket life, with one for ever.
func (w *World) foundBucket() {
	first := bucketRecord{incarnation: 1, revision: 1}
	if w.plan.buckets {
		first = bucketRecord{}
	}
	for s := range w.plan.sets {
		first.epochs[s] = 1
	}
	w.buckets = append(w.buckets[:0], first)
}

// firstBuckets is what a drive knows of the bucket at first.
func (w *World) firstBuckets() (b [incarnations]quorum.BucketState) {
	if !w.plan.buckets {
		b[0].Revision = 1
	}
	return b
}

// bucketOf is the record as a node knows it.
func (w *World) bucketOf(n *node) *bucketRecord { return &w.buckets[n.bucket] }

// lastBucket is the newest committed record.
func (w *World) lastBucket() *bucketRecord { return &w.buckets[len(w.buckets)-1] }

// revision is that of a key's bucket as a node knows it.
func (w *World) revision(n *node, key int) uint64 {
	if !w.plan.buckets {
		return 1
	}
	rev := uint64(0)
	for i := range n.bucket + 1 {
		if w.buckets[i].incarnation == incarnationOf(key) {
			rev = w.buckets[i].revision
		}
	}
	return rev
}

// commitBucket appends a record; the node that proposed it knows it at once.
func (w *World) commitBucket(who int16, b bucketRecord) {
	b.at = w.now
	for s := range w.plan.sets {
		b.epochs[s] = w.latest(s).cfg.Epoch
	}
	w.buckets = append(w.buckets, b)
	at := len(w.buckets) - 1
	w.note("raft: bucket incarnation %d revision %d sealed %v removed %v frozen %v", b.incarnation, b.revision, b.sealed, b.removed, b.frozen)
	for i := range w.plan.nodes {
		f := fate(w.seed, 0xb0c7, uint64(at), uint64(i))
		delay := ms + int64(f.n(int(10*ms)))
		if !w.calm && f.chance(300) {
			delay += int64(f.n(int(500 * ms)))
		}
		w.q.push(event{at: w.now + delay, kind: evBucket, who: int16(i), arg: int32(at)})
	}
	w.learnBucket(who, at)
}

// learnBucket brings a node's view of the log up to an index, and its drives with it.
func (w *World) learnBucket(who int16, at int) {
	n := &w.nodes[who]
	for n.up && n.bucket < at {
		n.bucket++
		b := w.bucketOf(n)
		for s := range w.plan.sets {
			w.learn(who, s, b.epochs[s])
		}
		for i := range w.plan.drives {
			if d := &w.drives[i]; d.node == who && d.open {
				w.fence(d, b)
			}
		}
	}
}

// fence tells a drive of its node's newer record.
func (w *World) fence(d *drive, b *bucketRecord) {
	if b.incarnation == 0 {
		return
	}
	w.stepDrive(d, -1, w.fenceRequest(b))
	if d.hard.any() && !w.scripted {
		w.sync(d)
	}
}

func (w *World) fenceRequest(b *bucketRecord) *quorum.Request {
	req := &quorum.Request{Kind: quorum.ReqFence, Sealed: b.sealed, Removed: b.removed}
	req.Key.Bucket = cluster.BucketID(b.incarnation)
	req.Revision = b.revision
	return req
}

// refence tells a drive that opens all that its node knows of the bucket.
func (w *World) refence(d *drive) {
	if w.plan.buckets {
		for i := range w.nodes[d.node].bucket + 1 {
			w.fence(d, &w.buckets[i])
		}
	}
}

// bucketBegins looks at what a client's operation finds of the bucket. It answers at once where there is
// none, or a frozen one, and says whether the operation goes on. A node that would say no asks the leader first.
func (w *World) bucketBegins(t *task) bool {
	n := &w.nodes[t.node]
	writes := t.kind == callPut || t.kind == callDelete || t.kind == callPutIfAbsent
	if b := w.bucketOf(n); !b.live() || t.kind > callList || writes && b.frozen {
		w.learnBucket(t.node, len(w.buckets)-1)
	}
	b := w.bucketOf(n)
	switch {
	case t.kind == callCreate:
		return true
	case !b.live():
		w.returned(t.client, t.turn, outcome{gone: true})
		return false
	case writes && b.frozen:
		w.returned(t.client, t.turn, outcome{denied: true})
		return false
	}
	t.key = int8(keyOfName(t.name3, b.incarnation))
	t.set = w.setOf[t.key]
	return true
}

// current says whether what a node took for the bucket of a key is still it: asked before a client is
// told that something is not there.
func (w *World) current(key int8) bool {
	b := w.lastBucket()
	return !w.plan.buckets || b.live() && b.incarnation == incarnationOf(int(key))
}

// liftSeal ends the seal of a deleter that died.
func (w *World) liftSeal(who int16) {
	b := *w.lastBucket()
	if !w.plan.buckets || !b.sealed || !b.live() || w.now < b.at+deleterLife {
		return
	}
	b.sealed, b.revision = false, b.revision+1
	w.commitBucket(who, b)
}

// deleterLife is how long a deletion may take before another node lifts its seal.
const deleterLife = 800 * ms

// exists says whether a key's bucket may have to be copied: drives keep nothing of one that was removed.
func (w *World) exists(key int) bool {
	b := w.lastBucket()
	return !w.plan.buckets || b.live() && b.incarnation == incarnationOf(key)
}

// tended says whether a node looks after a key: not if its bucket is gone.
func (w *World) tended(n *node, key int) bool {
	b := w.bucketOf(n)
	return !w.plan.buckets || b.live() && b.incarnation == incarnationOf(key)
}

// setsIn are the sets that have keys, all of them in a world with bucket life.
func (w *World) configs(n *node) []quorum.SetConfig {
	out := make([]quorum.SetConfig, w.plan.sets)
	for s := range out {
		out[s] = w.record(s, n.view[s]).cfg
	}
	return out
}

// nameOf is the name as lists know it.
func nameOf(i uint8) string { return string(rune('a' + i)) }

// nameNumber is the inverse.
func nameNumber(name string) uint8 { return name[0] - 'a' }

// checkPage holds a page of a list to I26: names rise from where it looks, each is there once, and
// one that says that there is more has something.
func (w *World) checkPage(page []listed, start string, more bool) {
	ok := !more || len(page) > 0
	for i, p := range page {
		ok = ok && p.name >= start && (i == 0 || p.name > page[i-1].name)
	}
	if !ok {
		w.fail("I26", "a page from %q, more %v, says %+v", start, more, page)
	}
}
