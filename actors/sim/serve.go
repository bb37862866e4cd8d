package sim

import (
	"slices"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// deliver lets a drive serve a request; the answer leaves when what it rests on is durable (I1).
func (w *World) deliver(i int32) {
	p := &w.packets[i]
	d := &w.drives[p.drive]
	if !d.open {
		w.lost(i)
		return
	}
	if p.span != nil {
		w.serveSpan(d, p)
		w.await(d, i, everything)
		return
	}
	if p.req.Kind == quorum.ReqAdopt {
		w.learnBucket(d.node, w.record(int(p.req.Set), p.req.Config.Epoch).bucket) // in the order of the log
		p = &w.packets[i]
	}
	if w.trace != nil {
		w.note("drive %d <- %s from task %d: %s", d.id, requestName(p.req.Kind), w.tasks[p.task].name, describe(&p.req))
	}
	key := int(p.key)
	if d.ram.rotten>>key&1 != 0 && p.req.Key.Name != "" && p.req.Kind != quorum.ReqHeal {
		w.lost(i) // damaged rows are unknown, never absent (I15)
		return
	}
	ans := w.stepDrive(d, key, &p.req)
	if p.req.Kind == quorum.ReqAdopt {
		w.suspect(d)
	}
	p = &w.packets[i]
	p.keep(&ans)
	if p.req.Kind == quorum.ReqFetch && w.spoils != 0 {
		w.reads(d, p)
	}
	if p.req.Kind == quorum.ReqMark {
		w.free(i)
		return
	}
	if w.trace != nil {
		w.note("drive %d -> %s", d.id, replyText(&p.rep))
	}
	w.await(d, i, w.restsOn(key, p))
}

// await sends an answer when what it rests on is durable.
func (w *World) await(d *drive, i int32, need dirt) {
	switch {
	case w.scripted:
		if d.hard.any() {
			d.start()
			d.finish()
		}
		w.reply(i)
	case w.manual:
		w.reply(i)
	case d.hard.keys&need.keys|d.hard.sets&need.sets != 0 || need.head && d.hard.head:
		d.waiting = append(d.waiting, i)
		w.sync(d)
	case d.flown.keys&need.keys|d.flown.sets&need.sets != 0 || need.head && d.flown.head:
		d.flying = append(d.flying, i)
	default:
		w.reply(i)
	}
}

// restsOn says which rows an answer speaks of.
func (w *World) restsOn(key int, p *packet) dirt {
	return dirt{keys: 1 << key, sets: 1 << w.setOf[key]}
}

// stepDrive steps the drive's machine and books what it wrote.
func (w *World) stepDrive(d *drive, key int, req *quorum.Request) quorum.Reply {
	at := quorum.At{Set: &d.ram.sets[req.Set], Bucket: &d.ram.bucket[max(req.Key.Bucket, 1)-1], Drive: &d.ram.head}
	var none quorum.KeyState
	if key >= 0 {
		at.Key = &d.ram.keys[key]
	} else {
		at.Key = &none
	}
	now := object.StampAt(w.wall(&w.nodes[d.node]))
	ahead := req.Ballot.TS > max(now, at.Drive.Highest)+quorum.MaxAhead && !hasRow(at.Key, &req.Version) && req.Ballot != at.Key.Promise
	had := w.spoils == 0 || key < 0 || hasShard(at.Key, d.ram.spoilt[key])
	ans := quorum.Drive{Rules: w.tuning.Rules, Life: time.Duration(attemptLife) * time.Microsecond}.Step(now, at, req)
	if ahead && (req.Kind == quorum.ReqPrepare && ans.Reply.OK || hasRow(at.Key, &req.Version)) {
		w.fail("I22", "drive %d key %d: takes %v, which lies far ahead of its time", d.id, key, req.Ballot)
	}
	if ans.Reply.Ahead {
		if w.look(); w.peak <= now+quorum.MaxAhead {
			w.fail("I22", "drive %d key %d: refuses %v as ahead, and no clock ever was", d.id, key, req.Ballot)
		}
	}
	if ans.Write != quorum.WriteNone {
		c := dirt{sets: 1 << req.Set, head: true}
		if key >= 0 {
			c.keys = 1 << key
		}
		d.wrote(c, ans.Write == quorum.WriteSync)
		if key >= 0 {
			if !had {
				w.renewed(d, key)
			}
			w.inspect(d, key, req, &ans.Reply)
		}
	}
	return ans.Reply
}

// hasRow says whether the key has the row of a version.
func hasRow(k *quorum.KeyState, v *quorum.Version) bool {
	return slices.ContainsFunc(k.Versions, func(u quorum.Version) bool { return u.Is(v.Ref, v.Rev) })
}

// sync starts a sync if none is under way.
func (w *World) sync(d *drive) {
	if d.syncing {
		return
	}
	d.start()
	f := fate(w.seed, uint64(d.id)<<32|0xd15c, d.flight.batch, 0)
	took := 300*us + int64(f.n(int(3*ms)))
	if !w.calm && f.chance(w.plan.luck.syncSlow) {
		took += int64(f.n(int(150 * ms)))
	}
	w.q.push(event{at: w.now + took, kind: evSync, who: d.id, life: d.life})
}

// synced answers what waited, and goes on with what came meanwhile.
func (w *World) synced(d *drive) {
	d.finish()
	for _, i := range d.flying {
		w.reply(i)
	}
	d.flying = d.flying[:0]
	if len(d.waiting) > 0 {
		w.sync(d)
	}
}
