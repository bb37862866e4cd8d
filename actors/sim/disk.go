package sim

import (
	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// image is what a drive's disk holds, or will hold: the rows of each key and of each set, and what is
// kept once per drive.
type image struct {
	keys   [maxKeys]quorum.KeyState
	sets   [maxSets]quorum.SetState
	bucket [incarnations]quorum.BucketState
	head   quorum.DriveState
	rotten uint16                     // bit per key: rows whose checksum does not hold
	spoilt [maxKeys]object.VersionRef // version whose shard's checksum does not hold
	batch  uint64                     // of the newest write
}

// dirt names parts of an image.
type dirt struct {
	keys, sets uint16
	head       bool
}

func (d *dirt) any() bool { return d.keys|d.sets != 0 || d.head }

func (d *dirt) add(o dirt) {
	d.keys |= o.keys
	d.sets |= o.sets
	d.head = d.head || o.head
}

// take copies the parts named by d.
func (m *image) take(from *image, d dirt) {
	for i := range m.keys {
		if d.keys>>i&1 != 0 {
			m.keys[i].CopyFrom(&from.keys[i])
			m.rotten = m.rotten&^(1<<i) | from.rotten&(1<<i)
			m.spoilt[i] = from.spoilt[i]
		}
	}
	for i := range m.sets {
		if d.sets>>i&1 != 0 {
			m.sets[i] = from.sets[i]
		}
	}
	if d.head {
		m.head, m.bucket = from.head, from.bucket
	}
	m.batch = from.batch
}

var everything = dirt{keys: 1<<maxKeys - 1, sets: 1<<maxSets - 1, head: true}

// disk keeps a drive's image three times: as the drive sees it, as the sync under way will leave it, and
// as it survives a power cut. Batches are atomic and in order (a write-ahead log), so a power cut keeps
// the durable image, or that and the batch being synced, or that and everything written since.
type disk struct {
	ram, flight, safe image
	old, next         dirt  // ram ahead of flight; flight ahead of safe
	hard, flown       dirt  // of these, what answers wait for: all but stable marks
	torn              image // what a power cut may leave of what is written beyond flight: an earlier part
	partly            dirt  // of it, ahead of flight; none: no such image
	wrotes            int   // batches beyond flight
	syncing, lying    bool
	owed              dirt   // told to be durable by a lying disk, in flight only
	told              uint64 // newest batch that was said to be durable: what the drive puts into its answers
	waiting, flying   []int32
	tokens            uint64 // heal tokens given before the last restart
}

func (d *disk) reset() {
	var blank image
	d.ram.take(&blank, everything)
	d.flight.take(&blank, everything)
	d.safe.take(&blank, everything)
	d.old, d.next, d.owed, d.hard, d.flown, d.partly, d.wrotes = dirt{}, dirt{}, dirt{}, dirt{}, dirt{}, dirt{}, 0
	d.syncing, d.lying, d.told = false, false, 0
	d.waiting, d.flying = d.waiting[:0], d.flying[:0]
}

// wrote books a change of ram. Of every few batches the image is kept that a power cut would leave which takes
// the rest.
func (d *disk) wrote(c dirt, hard bool) {
	if !d.old.any() {
		d.ram.batch++
	}
	d.old.add(c)
	if hard {
		d.hard.add(c)
	}
	if d.wrotes++; d.wrotes&(d.wrotes-1) == 0 { // 1, 2, 4, 8 ..
		d.partly.add(d.old)
		d.torn.take(&d.ram, d.partly)
	}
}

// start begins a sync of all that is written; what waits for it moves along.
func (d *disk) start() {
	d.syncing = true
	d.flight.take(&d.ram, d.old)
	d.next.add(d.old)
	d.old, d.flown, d.hard, d.partly, d.wrotes = dirt{}, d.hard, dirt{}, dirt{}, 0
	d.waiting, d.flying = d.flying[:0], d.waiting
}

// finish ends the sync. A lying disk keeps the batch in a cache that a power cut empties.
func (d *disk) finish() {
	d.syncing = false
	d.told = d.flight.batch
	for i := range d.ram.keys {
		if d.next.keys>>i&1 != 0 {
			d.flight.keys[i].Synced()
			confirmMarks(&d.ram.keys[i], &d.flight.keys[i])
		}
	}
	if d.lying {
		d.owed.add(d.next)
	} else {
		d.next.add(d.owed)
		d.owed = dirt{}
		d.safe.take(&d.flight, d.next)
	}
	d.next, d.flown = dirt{}, dirt{}
}

// repent ends the lying: what was told to be durable becomes so. A sync under way is not over by that.
func (d *disk) repent() {
	d.lying = false
	if d.owed.any() {
		d.safe.take(&d.flight, d.owed)
		d.safe.batch = d.told
	}
	d.owed = dirt{}
}

// confirmMarks tells the living state which of its stable marks were in the image that was synced (P3).
func confirmMarks(now, synced *quorum.KeyState) {
	for i := range synced.Versions {
		v := &synced.Versions[i]
		if !v.Stable {
			continue
		}
		for j := range now.Versions {
			if u := &now.Versions[j]; u.Stable && u.Is(v.Ref, v.Rev) {
				u.Synced = true
			}
		}
	}
}

// crash is the end of the process, or of the power: mode 0 loses what is not synced, 1 keeps the batch
// being synced, 2 keeps everything that was written, 3 that and a part of what was written since: the batches
// are in a log, of which the power cuts off an end.
func (d *disk) crash(mode int) {
	if mode == 1 && d.owed.any() {
		mode = 0 // a log is read up to its first gap
	}
	if mode == 3 && d.partly.any() {
		d.next.add(d.owed)
		d.flight.take(&d.torn, d.partly)
		d.next.add(d.partly)
	} else if mode > 1 {
		d.next.add(d.owed)
		d.flight.take(&d.ram, d.old)
		d.next.add(d.old)
	}
	if mode > 0 {
		d.safe.take(&d.flight, d.next)
	}
	d.load(&d.safe)
}

// load makes an image the durable one, as a drive finds it when it is opened.
func (d *disk) load(from *image) {
	for i := range d.ram.keys {
		d.tokens = max(d.tokens, d.ram.keys[i].Tokens)
	}
	if from != &d.safe {
		d.safe.take(from, everything)
	}
	for i := range d.safe.keys {
		d.safe.keys[i].Restarted(d.tokens)
	}
	d.safe.head.Restarted()
	d.ram.take(&d.safe, everything)
	d.flight.take(&d.safe, everything)
	d.old, d.next, d.owed, d.hard, d.flown, d.partly, d.wrotes = dirt{}, dirt{}, dirt{}, dirt{}, dirt{}, dirt{}, 0
	d.syncing, d.told = false, d.safe.batch
	d.waiting, d.flying = d.waiting[:0], d.flying[:0]
}
