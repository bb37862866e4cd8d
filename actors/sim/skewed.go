package sim

import (
	"slices"

	"holdfast/actors/quorum"
)

// skew is what a skewed world is about: the operations, the faults, and how fast the rest goes.
type skew struct {
	sizes     []int
	spares    int        // most drives beside those of the set, 1 at least
	kinds     []callKind // beside reads
	most      int        // operations
	from, to  int64      // how long it lasts
	faults    []skewed
	order     bool    // the faults strike in this order
	even      bool    // operations are anywhere, not near the faults
	wide      bool    // faults are anywhere, too
	early     bool    // operations are in the first half
	gets      int     // reads are at least so much more likely than others
	one       bool    // there is one key
	two       bool    // there are two
	exact     int     // thousandths: operations begin at the very microsecond of others
	die       int     // thousandths, at most: operations whose coordinator dies
	ticks     []int64 // see pace
	deadlines []int64
	pendings  []int64 // nil: any
	versioned bool
	buckets   bool  // the bucket comes and goes, and is listed
	clocks    int   // thousandths: clocks differ
	apart     int64 // how far; 0 = any
	deaf      int   // thousandths: nodes learn late of moves
	eager     int   // thousandths: keys are collected soon, and marks synced late
	lazy      int   // thousandths, at least: of syncs of these that are left out
}

// skewed is a fault that a seed has with a chance of so many thousandths.
type skewed struct {
	kind   faultKind
	chance int
	last   [2]int64             // how long; zero: any
	of     []quorum.RequestKind // of faultLate and faultLost: one or two of these
	way    int64                // of them: where; 0 = either
	odds   int16                // of them, for each message of any drive, in thousandths; 0 = of some drives, drawn
	always bool                 // it begins with the world and ends with the faults
	deaf   bool                 // a faultIsland leaves the network alone
	lone   bool                 // faultLate and faultLost strike one drive, and all of these messages
}

func skews() []skew {
	return slices.Concat(skewsOfMoves(), skewsOfKeys(), skewsOfVersions())
}

// skewsOfMoves are about slots that move.
func skewsOfMoves() []skew {
	mid, long := [2]int64{20, 200}, [2]int64{300, 1500}
	slow, quick := []int64{100 * ms, 250 * ms}, []int64{20 * ms, 20 * ms, 50 * ms}
	return []skew{
		{ // writes that fail while a slot moves
			sizes: []int{2, 2, 4}, spares: 2, kinds: []callKind{callPut, callPut, callDelete, callPutIfAbsent}, most: 8, from: 100 * ms, to: 1000 * ms,
			even: true, faults: []skewed{
				{kind: faultMove, chance: 950}, {kind: faultMove, chance: 300}, {kind: faultIsland, chance: 200}, {kind: faultCrash, chance: 100},
				{kind: faultLost, chance: 900, last: long, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayThere, odds: 400},
				{kind: faultLost, chance: 900, last: long, of: []quorum.RequestKind{quorum.ReqDrop}, odds: 900},
				{kind: faultLate, chance: 200, of: []quorum.RequestKind{quorum.ReqDrop, quorum.ReqKill, quorum.ReqCommit}},
			}, ticks: slow, deadlines: []int64{20 * ms, 50 * ms}, deaf: 900,
		},
		{ // the same, and who moves the slot does not hear of all
			sizes: []int{2, 2, 4}, spares: 1, kinds: []callKind{callPut, callPut, callDelete}, most: 5, from: 400 * ms, to: 1200 * ms, one: true,
			wide: true, even: true, faults: []skewed{
				{kind: faultLost, chance: 950, last: long, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayThere, odds: 400},
				{kind: faultLost, chance: 950, always: true, of: []quorum.RequestKind{quorum.ReqDrop}, odds: 1000},
				{kind: faultLost, chance: 950, always: true, of: []quorum.RequestKind{quorum.ReqPrepare}, way: wayThere, odds: 500},
				{kind: faultMove, chance: 950}, {kind: faultMove, chance: 950}, {kind: faultMove, chance: 700}, {kind: faultMove, chance: 700},
			}, ticks: []int64{20 * ms, 50 * ms}, deadlines: []int64{10 * ms, 20 * ms}, pendings: []int64{300 * ms, 600 * ms},
		},
		{ // nodes that know nothing of a move
			sizes: []int{2, 2, 4}, spares: 2, kinds: []callKind{callPut, callPut, callDelete}, most: 12, from: 400 * ms, to: 1500 * ms,
			order: true, even: true, faults: []skewed{
				{kind: faultIsland, chance: 950, last: long}, {kind: faultMove, chance: 950}, {kind: faultIsland, chance: 200, last: long}, {kind: faultMove, chance: 200},
				{kind: faultLost, chance: 200, last: mid, of: []quorum.RequestKind{quorum.ReqAdopt}},
			}, ticks: quick, deadlines: []int64{20 * ms, 50 * ms, 100 * ms}, deaf: 100,
		},
		{ // keys that are collected before a slot moves, and writes of nodes that know of neither
			sizes: []int{2}, spares: 2, kinds: []callKind{callPut, callPut, callDelete, callDelete}, most: 2, from: 100 * ms, to: 500 * ms,
			order: true, exact: 600, faults: []skewed{
				{kind: faultLost, chance: 950, last: [2]int64{1, 10}, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayBack},
				{kind: faultIsland, chance: 950, last: [2]int64{200, 600}, deaf: true}, {kind: faultMove, chance: 950},
			}, ticks: []int64{20 * ms}, deadlines: []int64{200 * ms, 400 * ms},
		},
		{ // uploads while slots move
			sizes: []int{4}, spares: 2, kinds: []callKind{callUpload, callUpload, callComplete, callAbort, callAbort}, most: 6, from: 300 * ms, to: 1200 * ms, one: true,
			order: true, faults: []skewed{
				{kind: faultLost, chance: 700, always: true, of: []quorum.RequestKind{quorum.ReqDecide}, way: wayThere, odds: 400},
				{kind: faultLost, chance: 500, always: true, of: []quorum.RequestKind{quorum.ReqFloor}, way: wayThere, odds: 900},
				{kind: faultLost, chance: 950, last: mid, of: []quorum.RequestKind{quorum.ReqUpload}, way: wayThere, odds: 300},
				{kind: faultLost, chance: 950, last: long, of: []quorum.RequestKind{quorum.ReqPrepare}, way: wayThere, odds: 500},
				{kind: faultMove, chance: 950}, {kind: faultMove, chance: 950}, {kind: faultMove, chance: 500},
			}, ticks: []int64{20 * ms}, deadlines: []int64{10 * ms},
		},
	}
}

// skewsOfKeys are about what happens to a key.
func skewsOfKeys() []skew {
	mid, long := [2]int64{20, 200}, [2]int64{300, 1500}
	all, quick := []int64{20 * ms, 50 * ms, 100 * ms, 250 * ms}, []int64{20 * ms, 20 * ms, 50 * ms}
	return []skew{
		{ // tombstones are collected while something is late
			sizes: []int{2, 2, 4}, spares: 2, kinds: []callKind{callPut, callDelete, callDelete}, most: 8, from: 300 * ms, to: 1500 * ms,
			faults: []skewed{
				{kind: faultLate, chance: 700, of: []quorum.RequestKind{quorum.ReqHeal, quorum.ReqCommit, quorum.ReqKill}}, {kind: faultLost, chance: 600, of: []quorum.RequestKind{quorum.ReqCommit}},
				{kind: faultLate, chance: 300, of: []quorum.RequestKind{quorum.ReqReport, quorum.ReqCollect}}, {kind: faultMove, chance: 200}, {kind: faultBlackout, chance: 300}, {kind: faultPause, chance: 300},
			}, ticks: all, deadlines: []int64{80 * ms, 200 * ms, 500 * ms}, eager: 800,
		},
		{ // ... and the power fails where marks are not synced, while another key's end has raised the floors
			sizes: []int{2}, spares: 1, kinds: []callKind{callPut, callDelete, callDelete, callDelete}, most: 24, from: 400 * ms, to: 1000 * ms, two: true,
			early: true, wide: true, faults: []skewed{
				{kind: faultLost, chance: 950, always: true, of: []quorum.RequestKind{quorum.ReqCollect}, way: wayThere, lone: true},
				{kind: faultLost, chance: 700, always: true, of: []quorum.RequestKind{quorum.ReqForget}, way: wayThere, odds: 1000},
				{kind: faultBlackout, chance: 950}, {kind: faultBlackout, chance: 900}, {kind: faultBlackout, chance: 600}, {kind: faultBlackout, chance: 600}, {kind: faultBlackout, chance: 600},
			}, ticks: []int64{20 * ms}, deadlines: []int64{20 * ms, 80 * ms}, pendings: []int64{1500 * ms}, eager: 1000, lazy: 950, clocks: 1000, apart: 240,
		},
		{ // keys are collected while they are read
			sizes: []int{4, 4, 6}, spares: 1, kinds: []callKind{callPut, callDelete, callDelete}, most: 5, from: 60 * ms, to: 400 * ms,
			even: true, faults: []skewed{
				{kind: faultLate, chance: 950, last: [2]int64{100, 450}, of: []quorum.RequestKind{quorum.ReqReport}}, {kind: faultLate, chance: 300, of: []quorum.RequestKind{quorum.ReqMark}},
				{kind: faultLost, chance: 700, last: mid, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayThere, odds: 200},
			}, ticks: []int64{20 * ms}, deadlines: []int64{500 * ms}, eager: 1000,
		},
		{ // power fails between a promise and a commit
			sizes: []int{2, 2, 4}, spares: 2, kinds: []callKind{callPut, callPut, callPutIfAbsent, callPutIfAbsent, callPutIfMatch, callTag}, most: 4, from: 30 * ms, to: 150 * ms,
			faults: []skewed{
				{kind: faultBlackout, chance: 950}, {kind: faultBlackout, chance: 400},
				{kind: faultLate, chance: 950, last: [2]int64{5, 60}, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayThere, odds: 700},
				{kind: faultLate, chance: 200, of: []quorum.RequestKind{quorum.ReqPrepare}},
			}, ticks: all, deadlines: []int64{80 * ms, 200 * ms}, clocks: 950, eager: 200,
		},
		{ // revisions that do not hear of each other
			sizes: []int{2, 4, 4, 6}, spares: 2, kinds: []callKind{callUpload, callComplete, callComplete, callTag, callTag, callTag, callPut}, most: 10, from: 30 * ms, to: 300 * ms,
			faults: []skewed{
				{kind: faultLate, chance: 500, of: []quorum.RequestKind{quorum.ReqPrepare, quorum.ReqCommit}}, {kind: faultLost, chance: 500, of: []quorum.RequestKind{quorum.ReqPrepare, quorum.ReqCommit}},
				{kind: faultCrash, chance: 400}, {kind: faultIsland, chance: 300},
			}, ticks: all, deadlines: []int64{80 * ms, 200 * ms}, clocks: 900,
		},
		{ // uploads that are completed and aborted at once
			sizes: []int{4}, spares: 1, kinds: []callKind{callUpload, callComplete, callComplete, callAbort, callAbort, callPut}, most: 16, from: 150 * ms, to: 600 * ms, one: true,
			faults: []skewed{
				{kind: faultLost, chance: 500, last: long, of: []quorum.RequestKind{quorum.ReqPrepare}, way: wayThere, odds: 300},
				{kind: faultLost, chance: 500, last: long, of: []quorum.RequestKind{quorum.ReqKill}, odds: 1000}, {kind: faultCrash, chance: 300},
				{kind: faultLost, chance: 500, always: true, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayThere, odds: 400},
				{kind: faultLost, chance: 500, always: true, of: []quorum.RequestKind{quorum.ReqUpload}, way: wayThere, odds: 250},
			}, exact: 500, die: 500, ticks: quick, deadlines: []int64{10 * ms, 30 * ms}, pendings: []int64{50 * ms, 100 * ms},
		},
	}
}

// skewsOfVersions are about versioned keys, and buckets that go.
func skewsOfVersions() []skew {
	all := []int64{20 * ms, 50 * ms, 100 * ms, 250 * ms}
	return []skew{
		{ // versions that go while they are read
			sizes: []int{4}, spares: 1, kinds: []callKind{callPut, callPut, callPurge}, most: 8, gets: 6, from: 60 * ms, to: 250 * ms, one: true,
			even: true, faults: []skewed{
				{kind: faultLate, chance: 950, always: true, of: []quorum.RequestKind{quorum.ReqReport}, way: wayThere, odds: 500},
				{kind: faultLost, chance: 950, always: true, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayThere, odds: 200},
			}, ticks: []int64{100 * ms, 250 * ms}, deadlines: []int64{300 * ms, 500 * ms}, versioned: true,
		},
		{ // uploads of versioned keys, of which completions are left unfinished
			sizes: []int{4}, spares: 1, kinds: []callKind{callUpload, callComplete, callComplete, callComplete, callPut, callVersions, callVersions}, most: 16, from: 60 * ms, to: 400 * ms, one: true,
			even: true, faults: []skewed{
				{kind: faultLost, chance: 1000, always: true, of: []quorum.RequestKind{quorum.ReqCommit}, way: wayThere, odds: 300},
				{kind: faultLost, chance: 1000, always: true, of: []quorum.RequestKind{quorum.ReqKill}, odds: 1000},
				{kind: faultLost, chance: 950, always: true, of: []quorum.RequestKind{quorum.ReqPrepare}, way: wayThere, odds: 250},
			}, ticks: []int64{100 * ms, 250 * ms}, deadlines: []int64{10 * ms, 20 * ms}, pendings: []int64{1500 * ms}, versioned: true,
		},
		{ // buckets that go while disks lose what they said was durable
			sizes: []int{2, 4, 4}, spares: 2, from: 200 * ms, to: 2000 * ms, buckets: true,
			faults: []skewed{
				{kind: faultLie, chance: 400}, {kind: faultRevert, chance: 400}, {kind: faultWipe, chance: 300}, {kind: faultFlip, chance: 200}, {kind: faultBlackout, chance: 600},
				{kind: faultCrash, chance: 400}, {kind: faultMove, chance: 300}, {kind: faultSplit, chance: 300},
			}, ticks: all, deadlines: []int64{80 * ms, 200 * ms},
		},
	}
}

// drawSkewed makes the plan of a skewed world.
func (p *Plan) drawSkewed(r *rng, t Tuning) {
	all := skews()
	p.mixture = int8(r.n(len(all)))
	k := &all[p.mixture]
	p.skewed = true
	p.n = k.sizes[r.n(len(k.sizes))]
	p.drives = p.n + 1 + r.n(k.spares)
	p.nodes = p.drives
	p.sets, p.keys, p.clients, p.writesLast = 1, 1+r.n(2), 3+r.n(4), r.chance(500)
	p.end = r.between(k.from, k.to)
	if k.one {
		p.keys = 1
	} else if k.two {
		p.keys = 2
	}
	p.versioned = k.versioned && t.Versioned
	p.locks = p.versioned && r.chance(500)
	p.drawSkewedLuck(r, k)
	var moments []int64
	for range 1 + r.n(3) {
		moments = append(moments, r.between(0, p.end))
	}
	if k.buckets {
		p.buckets, p.keys, p.sets, p.writesLast = true, maxKeys, 1+r.n(3), false
		p.drawBuckets(r, t)
		slices.SortStableFunc(p.ops, func(a, b opPlan) int { return int(a.at - b.at) })
	} else {
		p.drawSkewedOps(r, k, moments)
	}
	for _, f := range k.faults {
		if r.chance(f.chance) && t.Faults>>f.kind&1 != 0 {
			p.drawSkewedFault(r, &f, k.wide, moments)
		}
	}
	if k.order {
		p.inOrder()
	}
}

// inOrder exchanges the times of the faults, so that each begins no sooner than the one before.
func (p *Plan) inOrder() {
	for i := range p.faults {
		for j := i; j > 0 && p.faults[j].at < p.faults[j-1].at; j-- {
			a, b := &p.faults[j-1], &p.faults[j]
			a.at, a.end, b.at, b.end = b.at, b.at+a.end-a.at, a.at, a.at+b.end-b.at
		}
	}
}

// drawSkewedLuck draws what strikes all alike, which half of the seeds have hardly any of, and the pace.
func (p *Plan) drawSkewedLuck(r *rng, k *skew) {
	l := &p.luck
	l.deaf, l.slowMax = 0, []int64{10 * ms, 100 * ms}[r.n(2)]
	if l.die = r.n(2) * r.n(1+k.die); r.chance(500) {
		l.loss, l.dup, l.slow, l.syncSlow = r.n(2)*r.n(100), r.n(2)*r.n(200), r.n(2)*r.n(300), r.n(2)*r.n(500)
		l.die = max(l.die, r.n(2)*r.n(200))
	}
	if r.chance(k.deaf) {
		l.deaf, l.deafMax = 300+r.n(700), r.between(100, 1500)*ms
	}
	p.pace = pace{
		tick: k.ticks[r.n(len(k.ticks))], deadline: k.deadlines[r.n(len(k.deadlines))],
		pending: []int64{50 * ms, 200 * ms, pendingAge, pendingAge, 1500 * ms}[r.n(5)], quiet: attemptLife, spread: r.chance(700),
	}
	if k.pendings != nil {
		p.pace.pending = k.pendings[r.n(len(k.pendings))]
	}
	if r.chance(k.eager) {
		p.pace.quiet, p.pace.lazy = []int64{0, 50 * ms, 500 * ms}[r.n(3)], max(k.lazy, r.n(980))
	}
	if r.chance(k.clocks) {
		most := []int64{5, 60, 300}[r.n(3)]
		if k.apart > 0 {
			most = k.apart
		}
		for i := range p.nodes {
			p.clockOff[i] = r.between(-most, most) * ms
		}
	}
}

// near is a time about one of the moments, or any.
func near(r *rng, moments []int64, end int64) int64 {
	if r.chance(200) {
		return r.between(0, end)
	}
	within := []int64{1 * ms, 8 * ms, 60 * ms, 400 * ms}[r.n(4)]
	return min(max(0, moments[r.n(len(moments))]+r.between(-within/4, within)), end)
}

func (p *Plan) drawSkewedOps(r *rng, k *skew, moments []int64) {
	weight := make([]int, len(k.kinds))
	sum := k.gets + r.n(4)
	gets := sum
	for i := range weight {
		weight[i] = r.n(4)
		sum += weight[i]
	}
	for range 3 + r.n(k.most) {
		o := opPlan{kind: callGet, client: int16(r.n(p.clients)), key: uint8(r.n(p.keys)), inline: r.chance(900), head: r.chance(750)}
		switch {
		case r.chance(k.exact):
			o.at = moments[r.n(len(moments))]
		case k.early:
			o.at = r.between(0, p.end/2)
		case k.even:
			o.at = r.between(0, p.end)
		default:
			o.at = near(r, moments, p.end)
		}
		if x := r.n(max(1, sum)) - gets; x >= 0 {
			for i := range weight {
				if x -= weight[i]; x < 0 {
					o.kind = k.kinds[i]
					break
				}
			}
		}
		p.ops = append(p.ops, o)
	}
	slices.SortStableFunc(p.ops, func(a, b opPlan) int { return int(a.at - b.at) })
}

func (p *Plan) drawSkewedFault(r *rng, k *skewed, wide bool, moments []int64) {
	p.drawFault(r, k.kind)
	f := &p.faults[len(p.faults)-1]
	if f.at = near(r, moments, p.end); wide {
		f.at = r.between(0, p.end)
	}
	f.end = f.at + []int64{r.between(1, 10), r.between(10, 60), r.between(60, 400), r.between(400, 2000)}[r.n(4)]*ms
	if k.always {
		f.at, f.end = 0, p.end
	}
	if k.last[1] > 0 {
		f.end = f.at + r.between(k.last[0], k.last[1])*ms
	}
	switch k.kind {
	case faultLate, faultLost:
		f.amount = someOf(k.of[r.n(len(k.of))], k.of[r.n(len(k.of))]) | []int64{wayThere, wayThere, wayBack, wayThere | wayBack}[r.n(4)]
		if k.way != 0 {
			f.amount = f.amount&^(wayThere|wayBack) | k.way
		}
		f.a, f.b = int16(r.n(1<<p.drives)), []int16{300, 700, 1000, 1000}[r.n(4)]
		if k.odds != 0 || r.chance(300) {
			f.a = 1<<p.drives - 1
		}
		if k.odds != 0 {
			f.b = k.odds
		}
		if k.lone {
			f.a, f.b = 1<<r.n(p.drives), 1000
		}
	case faultIsland:
		if f.a, f.b = int16(r.n(p.nodes)), int16(r.n(3)/2); k.deaf {
			f.b = 1
		}
	case faultBlackout:
		f.amount, f.end = int64(r.n(1<<p.nodes)), f.at+r.between(0, 15)*ms
	case faultCrash:
		f.b = 1
	}
}
