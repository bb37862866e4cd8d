package sim

import "slices"

// Times are microseconds of the simulated world.
const (
	us = int64(1)
	ms = 1000 * us
	s  = 1000 * ms
)

// opPlan is one operation that a client will ask for. It starts at its time, or when the client's
// operation before has ended.
type opPlan struct {
	at     int64
	kind   callKind
	client int16
	key    uint8
	head   bool // a GET reads no shards
	one    bool // of a list: drives name one key at a time
	inline bool // the body rides in the commit; else it is staged first
	null   bool // it names the null version, whichever that is
	off    bool // taken out by a Cut
}

// faultKind is what goes wrong, or what an operator does.
type faultKind uint8

const (
	faultCrash  faultKind = iota + 1 // node a stops until the end; unsynced writes survive or, with b, do not
	faultPause                       // node a stands still until the end
	faultCut                         // messages from node a to node b are lost until the end
	faultJump                        // the clock of node a jumps by amount
	faultDrive                       // drive a fails; its node finds it again at the end
	faultLie                         // drive a answers syncs without doing them until the end
	faultFlip                        // a key's rows on drive a rot: b chooses
	faultRevert                      // drive a's image of the time at comes back at the end, with a restart of its node
	faultWipe                        // drive a is replaced by an empty one
	faultMove                        // set a's slot b goes to a drive that is not in the set
	faultCancel                      // set a's move is cancelled if it has not flipped
	faultSplit                       // the nodes in amount and the others do not hear each other; b: the others hear
	// Of skewed worlds only:
	faultLate     // messages of the kinds in amount, see someOf, to or from the drives in a, arrive when it ends
	faultLost     // such messages are lost, b of 1000
	faultIsland   // node a learns nothing of what is committed until the end; unless b, it also hears nobody and nobody hears it
	faultBlackout // the nodes in amount lose power at once, until the end
	faultKinds
)

// faultPlan is one fault.
type faultPlan struct {
	at, end int64
	amount  int64
	kind    faultKind
	off     bool // taken out by a Cut
	a, b    int16
}

// luck is the random part of the network and the disks, in thousandths.
type luck struct {
	loss, dup, slow int
	slowMax         int64
	die             int // operations whose coordinator dies between two messages
	syncSlow        int
	deaf            int   // nodes that learn late of what was committed
	deafMax         int64 // how late
}

// Plan is all that happens to a world from outside. It follows from the seed alone, and what the
// minimiser takes out of it changes nothing else in it.
type Plan struct {
	Seed                   uint64
	n, sets, drives, nodes int
	keys, clients          int
	clockOff, clockDrift   [maxNodes]int64 // microseconds; millionths
	ops                    []opPlan
	faults                 []faultPlan
	luck                   luck
	versioned              bool
	writesLast             bool // every key must take a write when the faults are over
	buckets                bool // the bucket comes and goes, and is listed
	skewed                 bool
	mixture                int8 // of a skewed world
	locks                  bool // a version with an odd tag is held: it is not removed
	pace                   pace
	end                    int64 // of the faults; then everything is repaired
}

const (
	maxN      = 16
	maxNodes  = 16
	mostNodes = 8 // that a seed draws
	maxDrives = 28
	maxSets   = 6
	maxKeys   = 9
	mostKeys  = 3 // that a seed without bucket life draws
)

// BucketSeeds is the first of the seeds whose worlds have bucket life and lists.
const BucketSeeds = uint64(1) << 48

// DenseSeeds is the first of the seeds whose worlds are small and go wrong in few ways, but often: one set,
// few kinds of operations and faults, late messages. They reach what takes several rare events in a row.
const DenseSeeds = uint64(1) << 49

// SkewedSeeds is the first of the seeds whose worlds are as small as dense ones, and whose bad luck is skewed: it
// strikes some kinds of messages to some drives, cuts nodes off from the control plane too, takes the power of
// several at once; and what is done in the background has a pace of its own.
const SkewedSeeds = uint64(1) << 50

// worldKind is a range of seeds, and the letter that is written before their numbers.
type worldKind struct {
	letter string
	first  uint64
}

func worldKinds() []worldKind {
	return []worldKind{{"s", SkewedSeeds}, {"d", DenseSeeds}, {"b", BucketSeeds}, {"", 0}}
}

// pace says how long things take that no fault has a hand in.
type pace struct {
	tick     int64 // between two looks of a node at its keys
	pending  int64 // age at which the first node settles what is in doubt
	deadline int64 // of a message
	quiet    int64 // since the last promise, before a key is collected
	spread   bool  // ticks of different nodes are not near each other
	lazy     int   // thousandths: a tick leaves stable marks unsynced
}

// draw makes the plan of a seed.
func (p *Plan) draw(seed uint64, t Tuning) {
	r := rng{mix(seed + 1)}
	ops, faults := p.ops[:0], p.faults[:0]
	*p = Plan{Seed: seed, ops: ops, faults: faults, luck: luck{deaf: 200, deafMax: 500 * ms}}
	p.n = t.Sizes[r.n(len(t.Sizes))]
	p.drives = p.n
	if p.n > 1 {
		p.drives += r.n(5)
	} else {
		other := rng{mix(seed + 5)}
		p.drives += other.n(4)
	}
	p.sets = 4 + r.n(maxSets-3)
	p.nodes = min(p.drives, 1+r.n(mostNodes))
	p.keys = 1 + r.n(mostKeys)
	p.clients = 2 + r.n(5)
	p.end = r.between(300, 3000) * ms
	if r.chance(500) {
		p.end = r.between(60, 400) * ms // everything at once
	}
	p.versioned = t.Versioned && r.chance(250)
	if seed >= DenseSeeds {
		if seed >= SkewedSeeds {
			p.drawSkewed(&r, t)
		} else {
			p.drawDense(&r, t)
		}
		p.drawPages(&rng{mix(seed + 4)})
		slices.SortStableFunc(p.faults, func(a, b faultPlan) int { return int(a.at - b.at) })
		return
	}
	if seed >= BucketSeeds {
		p.buckets, p.versioned, p.keys = true, false, maxKeys
		t.Sizes, t.Faults = []int{2, 4, 4, 6}, t.Faults&^(1<<faultLie|1<<faultFlip|1<<faultRevert|1<<faultWipe)
		p.n = t.Sizes[r.n(len(t.Sizes))]
		p.drives = p.n + r.n(4)
		p.nodes = min(p.drives, 1+r.n(mostNodes))
	}
	swarm := r.next() // which faults this seed has
	has := func(k faultKind) bool { return swarm>>k&1 != 0 && t.Faults>>k&1 != 0 }
	p.drawLuck(&r, swarm)
	p.drawClocks(&r, swarm)
	if p.buckets {
		p.drawBuckets(&r, t)
		slices.SortStableFunc(p.ops, func(a, b opPlan) int { return int(a.at - b.at) })
	} else {
		p.drawOps(&r, t, swarm)
		p.drawNamed(&rng{mix(seed + 3)})
		p.drawPages(&rng{mix(seed + 4)})
	}
	for k := faultKind(1); k < faultSplit; k++ {
		if has(k) {
			count := 1 + r.n(3)
			if k == faultMove {
				count *= 2
			}
			for range count {
				p.drawFault(&r, k)
			}
		}
	}
	slices.SortStableFunc(p.faults, func(a, b faultPlan) int { return int(a.at - b.at) })
}

func (p *Plan) drawLuck(r *rng, swarm uint64) {
	p.luck.slowMax = 30 * ms
	if swarm>>40&1 != 0 {
		p.luck.loss = r.n(200)
	}
	if swarm>>41&1 != 0 {
		p.luck.dup = r.n(200)
	}
	if swarm>>42&1 != 0 {
		p.luck.slow = r.n(400)
		p.luck.slowMax = []int64{10 * ms, 100 * ms, 800 * ms, 3 * s}[r.n(4)]
	}
	if swarm>>46&1 != 0 {
		p.luck.die = r.n(400)
	}
	if swarm>>43&1 != 0 {
		p.luck.syncSlow = r.n(200)
	}
}

func (p *Plan) drawClocks(r *rng, swarm uint64) {
	for i := range p.nodes {
		if swarm>>44&1 != 0 {
			p.clockOff[i] = r.between(-200, 200) * ms
		}
		if swarm>>45&1 != 0 {
			p.clockDrift[i] = r.between(-20_000, 20_000)
		}
	}
}

// drawOps mixes the operations anew for each seed, so that some have hardly any of a kind.
func (p *Plan) drawOps(r *rng, t Tuning, swarm uint64) {
	var weight [callKinds]int
	sum := 0
	for k := callGet; k < callKinds; k++ {
		if t.Calls>>k&1 == 0 || k > callAbort && !p.versioned || k >= callUpload && k <= callAbort && p.versioned {
			continue
		}
		weight[k] = 1 + r.n(8)
		if k > callPut && r.chance(400) {
			weight[k] = 0
		}
		sum += weight[k]
	}
	count := t.MinOps + r.n(t.MaxOps-t.MinOps+1)
	var perKey [maxKeys]int
	for range count {
		o := opPlan{at: r.between(0, p.end), client: int16(r.n(p.clients)), key: uint8(r.n(p.keys)), inline: r.chance(600)}
		limit := maxCalls - 8 // the last reads want room too
		if p.versioned {
			limit = maxShelf
		}
		if perKey[o.key]++; perKey[o.key] > limit {
			break
		}
		x := r.n(sum)
		for k := callGet; k < callKinds; k++ {
			if x -= weight[k]; x < 0 {
				o.kind = k
				break
			}
		}
		p.ops = append(p.ops, o)
	}
	slices.SortStableFunc(p.ops, func(a, b opPlan) int { return int(a.at - b.at) })
}

// drawNamed makes some operations on versioned keys name a version, and some deletions those of a bucket
// whose versioning is suspended.
func (p *Plan) drawNamed(r *rng) {
	if !p.versioned || r.chance(300) {
		return
	}
	null := r.n(500)
	for i := range p.ops {
		switch o := &p.ops[i]; {
		case o.kind == callGet && r.chance(500):
			o.kind, o.null = callGetAt, r.chance(null)
		case o.kind == callTag && r.chance(500):
			o.kind, o.null = callTagAt, r.chance(null)
		case o.kind == callPurge:
			o.null = r.chance(null)
		case o.kind == callDelete && r.chance(null):
			o.kind = callDeleteNull
		}
	}
}

// drawPages makes some lists of versions go page by page over all keys, and some reads such lists. Skewed worlds
// keep their reads: they are what some mixtures are about.
func (p *Plan) drawPages(r *rng) {
	if !p.versioned || r.chance(400) {
		return
	}
	for i := range p.ops {
		if o := &p.ops[i]; o.kind == callVersions && r.chance(500) || o.kind == callGet && !p.skewed && r.chance(150) {
			o.kind = callPages
		}
	}
}

func (p *Plan) drawFault(r *rng, k faultKind) {
	f := faultPlan{kind: k, at: r.between(0, p.end)}
	f.end = f.at + r.between(1*ms, 1+p.end/2)
	switch k {
	case faultCrash:
		f.a, f.b = int16(r.n(p.nodes)), int16(r.n(2))
	case faultPause:
		f.a = int16(r.n(p.nodes))
	case faultCut:
		f.a, f.b = int16(r.n(p.nodes)), int16(r.n(p.nodes))
	case faultJump:
		f.a, f.amount = int16(r.n(p.nodes)), r.between(-900, 900)*ms
		if r.chance(100) {
			f.amount = 365 * 24 * 3600 * s
		}
	case faultDrive, faultLie, faultFlip, faultRevert, faultWipe:
		f.a, f.b = int16(r.n(p.drives)), int16(r.n(1<<15))
	case faultSplit:
		f.amount, f.b = int64(r.n(1<<p.nodes)), int16(r.n(3)/2)
	case faultLate, faultLost, faultIsland, faultBlackout: // see drawSkewedFault
	case faultMove, faultCancel:
		f.a, f.b, f.amount = int16(r.n(p.sets)), int16(r.n(p.n)), int64(r.n(1<<15))
	}
	p.faults = append(p.faults, f)
}
