package sim

import (
	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// Bits flip in what a disk holds: in the rows of a key, which are unknown from then on, or in one shard, which
// is found by whoever reads it, and healed.

// rot damages the rows of one key on a drive, or one shard, on the disk and in what the drive reads from it.
func (w *World) rot(d *drive, how uint) {
	if w.plan.n == 1 {
		return
	}
	key := how % uint(w.plan.keys)
	if how>>14&1 != 0 {
		w.spoil(d, int(key))
		return
	}
	bit := uint16(1) << key
	d.ram.rotten |= bit
	d.flight.rotten |= bit
	d.safe.rotten |= bit
	w.media = true
}

// spoil damages the shard of a key's newest object that is known to stand. Of a second one nobody knows whether
// k are left.
func (w *World) spoil(d *drive, key int) {
	for i := range d.safe.keys[key].Versions {
		v := &d.safe.keys[key].Versions[i]
		if v.Kind != quorum.Object || !v.Stable || !v.Data {
			continue
		}
		d.ram.spoilt[key], d.flight.spoilt[key], d.safe.spoilt[key] = v.Ref, v.Ref, v.Ref
		w.note("drive %d: the shard of key %d %s rots", d.id, key, refText(v.Ref))
		w.media = w.media || w.spoils>>key&1 != 0
		w.spoils |= 1 << key
		return
	}
}

// isSpoilt says whether a drive's shard of a version is damaged, found or not.
func (d *drive) isSpoilt(key int, ref object.VersionRef) bool {
	return key >= 0 && d.ram.spoilt[key] == ref && ref != object.VersionRef{}
}

// foundSpoilt is what a drive does when a shard turns out to be damaged.
func (w *World) foundSpoilt(d *drive, key int, ref object.VersionRef) {
	w.note("drive %d: the shard of key %d %s is found damaged", d.id, key, refText(ref))
	at := quorum.At{Key: &d.ram.keys[key], Set: &d.ram.sets[w.setOf[key]]}
	if (quorum.Drive{Rules: w.tuning.Rules}).Spoilt(at, ref) != quorum.WriteNone {
		d.wrote(dirt{keys: 1 << key}, false)
	}
}

// reads is a drive's answer to the fetch of a shard: a damaged one is not served.
func (w *World) reads(d *drive, p *packet) {
	if !p.rep.OK || !d.isSpoilt(int(p.key), p.req.Version.Ref) {
		return
	}
	if w.tuning.Rules.Off(quorum.NoShardSum) {
		w.fail("I20", "drive %d key %d: a damaged shard of %v is served", d.id, p.key, p.req.Version.Ref)
		return
	}
	p.rep.OK, p.rep.Refused = false, quorum.RefusedSync
	w.foundSpoilt(d, int(p.key), p.req.Version.Ref)
}

// makes says whether all shards that a message brings can be made.
func (w *World) makes(t *task, to *drive, req *quorum.Request) bool {
	whole := req.Kind != quorum.ReqCommit || w.coded(t, to, req.Epoch, &req.Version)
	if req.Kind == quorum.ReqHeal {
		for i := range req.Versions {
			whole = w.coded(t, to, req.Epoch, &req.Versions[i]) && whole
		}
	}
	return whole
}

// coded says whether the shard that a message brings to a member could be made from k others. Whoever makes it
// reads these, and so finds damage.
func (w *World) coded(t *task, to *drive, epoch uint64, v *quorum.Version) bool {
	if w.spoils>>t.key&1 == 0 || !v.Data || v.Kind != quorum.Object || writeNumber(v.Ref.Write) == writeNumber(t.intent.Write) {
		return true
	}
	rec := w.record(int(t.set), epoch)
	whole := true
	for m := range rec.cfg.Members().All() {
		if d := &w.drives[rec.drives[m]]; d != to && d.open && d.isSpoilt(int(t.key), v.Ref) && hasShard(&d.ram.keys[t.key], v.Ref) {
			w.foundSpoilt(d, int(t.key), v.Ref)
			whole = false
		}
	}
	return whole
}

// hasShard says whether a drive's rows claim a version's shard.
func hasShard(k *quorum.KeyState, ref object.VersionRef) bool {
	for i := range k.Versions {
		if v := &k.Versions[i]; v.Ref == ref && v.Data {
			return true
		}
	}
	return false
}

// renewed ends the damage of a shard that the drive lacked and that was written anew.
func (w *World) renewed(d *drive, key int) {
	if ref := d.ram.spoilt[key]; hasShard(&d.ram.keys[key], ref) {
		d.ram.spoilt[key] = object.VersionRef{}
		w.note("drive %d: the shard of key %d %s is whole again", d.id, key, refText(ref))
	}
}

// scrub reads the shards of a key on a drive.
func (w *World) scrub(d *drive, key int) {
	if ref := d.ram.spoilt[key]; d.isSpoilt(key, ref) && hasShard(&d.ram.keys[key], ref) {
		w.foundSpoilt(d, key, ref)
	}
}

// scrubAll is the last look at every shard.
func (w *World) scrubAll() {
	for i := range w.plan.drives {
		for k := range w.plan.keys {
			if d := &w.drives[i]; d.open && w.spoils>>k&1 != 0 {
				w.scrub(d, k)
			}
		}
	}
}

// rottenIn says whether a drive cannot read rows of a set: it does not vouch for what it lists of it.
func (w *World) rottenIn(d *drive, set int) bool {
	for k := range w.plan.keys {
		if d.ram.rotten>>k&1 != 0 && int(w.setOf[k]) == set {
			return true
		}
	}
	return false
}
