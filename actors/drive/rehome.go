package drive

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"

	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

const (
	// sparseFile is the part of a journal's file, in percent, below which what it would take to keep its
	// live payloads elsewhere is worth the copying; tightFile is the same on a drive at its reserve.
	sparseFile = 40
	tightFile  = 90
	// rehomeStep is how many messages a turn of emptying a file sends.
	rehomeStep = 8
	// sweepBytes is how much goes back to the file system at a time, if files are that small.
	sweepBytes = 16 << 20
	// sweepEvery is how many ticks of trimming pass between two files that go back to the file system
	// while the drive is written to.
	sweepEvery = 10
)

// emptying is a walk through a file of the journal whose live payloads are moved. The walk goes on
// where it stopped; a new one begins with the next file.
type emptying struct {
	wake chan struct{} // capacity 1
	file uint32        // 0: none
	next int64         // where the walk goes on
	tick int           // counts sweeps
}

func (e *emptying) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// errTurn ends a walk for this turn.
var errTurn = errors.New("another turn")

// emptyFile moves some live payloads out of the sparsest file of the journal, and reports whether there is
// more to do. Once the last is moved, and that is durable, the file is dead.
func (a *Actor) emptyFile(ctx context.Context) (more bool, err error) {
	e := &a.emptying
	if e.file == 0 {
		percent, tight := int64(sparseFile), a.space.full()
		if tight {
			percent = tightFile
		}
		no, ok := a.journal.Sparse(percent, tight)
		if !ok {
			return false, nil
		}
		e.file, e.next = no, 0
	}
	it, err := a.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	rows := places{it: it}
	step, sent := &rehomeMsg{reply: newReply()}, 0
	send := func() error {
		if len(step.list) == 0 {
			return nil
		}
		m := step
		step, sent = &rehomeMsg{reply: newReply()}, sent+1
		return a.pacedDo(ctx, m)
	}
	_, err = a.journal.Walk(e.file, e.next, func(rec *journal.Record) error {
		if sent >= rehomeStep {
			return errTurn
		}
		list, err := a.liveIn(&rows, rec)
		if err != nil {
			return err
		}
		for len(list) > 0 {
			n := min(len(list), reclaimStep-len(step.list))
			step.list, list = append(step.list, list[:n]...), list[n:]
			if len(step.list) == reclaimStep {
				if err := send(); err != nil {
					return err
				}
			}
		}
		e.next = rec.Offset + rec.Size()
		return nil
	})
	end := err == nil
	if end || errors.Is(err, errTurn) {
		err = send()
	}
	if end && err == nil || errors.Is(err, ondisk.ErrCorrupt) || errors.Is(err, journal.ErrCut) {
		a.journal.Stuck(e.file) // what is live in it after a whole walk cannot be moved, nor what no walk reaches
	}
	if end || err != nil { // the next walk begins anew
		e.file = 0
	}
	if errors.Is(err, journal.ErrGone) {
		return true, nil
	}
	return err == nil, err
}

// homeless is a payload that is to be moved.
type homeless struct {
	key    object.Key
	prefix []byte // of the key's rows, of which any may refer to it
	at     ondisk.Location
	whole  []byte // with its header
}

// liveIn lists the payloads of a record that rows still refer to. One that is damaged stays where it is.
func (a *Actor) liveIn(rows *places, rec *journal.Record) (list []homeless, err error) {
	err = eachPayload(rec, func(key []byte, at ondisk.Location, oid object.OID) error {
		prefix := key[:ondisk.Split(key)]
		if slices.ContainsFunc(list, func(h homeless) bool { return h.at == at }) {
			return nil
		}
		if live, err := rows.refer(key, prefix, at); err != nil || !live {
			return err
		}
		k, err := ondisk.ParseVersionKey(key)
		if err != nil {
			return err
		}
		whole, err := a.journal.ReadWhole(at, oid)
		if errors.Is(err, ondisk.ErrCorrupt) {
			a.m.error("shard")
			a.log.Warn("small shard cannot be moved", "oid", oid.String(), "err", err)
			return nil
		}
		if err == nil {
			list = append(list, homeless{key: k.Key, prefix: slices.Clone(prefix), at: at, whole: whole})
		}
		return err
	})
	return list, err
}

// eachPayload calls f for each version row of a record whose payload came with it.
func eachPayload(rec *journal.Record, f func(key []byte, at ondisk.Location, oid object.OID) error) error {
	var own ondisk.VersionOwn
	rows := batchrepr.Read(rec.Rows)
	for {
		kind, key, value, ok, err := rows.Next()
		if !ok || err != nil {
			return err
		}
		if kind != pebble.InternalKeyKindSet || ondisk.KindOf(key) != ondisk.RowVersion || ondisk.IsKeyStateKey(key) {
			continue
		}
		shared, err := ondisk.DecodeVersionOwn(&own, value)
		if err != nil {
			return err
		}
		if own.At.File != rec.File || int64(own.At.Offset) < rec.Offset {
			continue
		}
		row, err := ondisk.ViewVersion(shared)
		if err != nil {
			return err
		}
		if err := f(key, own.At, row.OID()); err != nil {
			return err
		}
	}
}

// rehomeMsg moves payloads to the end of the journal.
type rehomeMsg struct {
	reply
	list []homeless
}

func (*rehomeMsg) isMsg() {}

func (m *rehomeMsg) weight() (n int) {
	for i := range m.list {
		n += len(m.list[i].whole) + 512
	}
	return n
}

// first says that payloads are moved before others of the batch look up where they lie.
func (*rehomeMsg) first() {}

// apply implements message.
func (m *rehomeMsg) apply(b *batch) error {
	for i := range m.list {
		b.rehome(&m.list[i])
	}
	return b.err
}

// rehome rewrites all rows that refer to a payload, whichever versions and revisions of the key they
// are. If there are none left it is not moved.
func (b *batch) rehome(h *homeless) {
	c := b.cell(h.key, h.prefix, need{all: true, rows: true})
	if b.err != nil {
		return
	}
	var to ondisk.Location
	for j := range c.rows {
		if c.rows[j].at != h.at {
			continue
		}
		if to.IsZero() {
			to = b.addPayload(h.whole)
		}
		c.rows[j].at = to
		b.writeRow(c, j, b.sharedOf(c, j))
	}
	if to.IsZero() {
		return
	}
	b.dropPayload(h.at)
	if b.journal.moved == nil {
		b.journal.moved = make(map[ondisk.Location]ondisk.Location)
	}
	b.journal.moved[h.at] = to
}

// sweep gives dead files of the journal up, gently while the drive is written to.
func (a *Actor) sweep() error {
	e := &a.emptying
	e.tick++
	low := a.space.left() < 2*a.space.reserve
	if !low && len(a.writers)+a.mail.Depth() > 0 && e.tick%sweepEvery != 0 {
		return nil
	}
	_, err := a.sweepStep(low)
	return err
}

// sweepStep gives up dead files of about sweepBytes, and reports whether there were any.
func (a *Actor) sweepStep(all bool) (any bool, err error) {
	for freed := int64(0); freed < sweepBytes; {
		n, more, err := a.journal.Sweep(all)
		if err != nil || !more {
			return any, err
		}
		any, freed = true, freed+n
	}
	return any, nil
}

// flushLog makes the index flush if files of the journal are only kept as log, and reports whether that
// let go of any.
func (a *Actor) flushLog(ctx context.Context) (more bool, err error) {
	before := a.journal.Stats().Log
	if before < a.space.journal {
		return false, nil
	}
	flushed, err := a.db.AsyncFlush()
	if err != nil {
		return false, err
	}
	select {
	case <-flushed:
	case <-ctx.Done():
		return false, ctx.Err()
	case <-a.health.Failed():
		return false, a.health.Err()
	}
	if err := a.noteFlush(); err != nil {
		return false, err
	}
	return a.journal.Stats().Log < before, nil
}
