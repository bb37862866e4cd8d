package drive

import (
	"context"
	"time"
)

const (
	// ageEvery makes freed space rest for one to two times as long before it leaves the drive's files.
	ageEvery = 5 * time.Minute
	// trimEvery is how often space goes back to the file system.
	trimEvery = 100 * time.Millisecond
)

// trimmer remembers what the drive had done when space was given back last.
type trimmer struct{ durable uint64 }

// busy reports whether the drive was written to since it was asked last, or is just now.
func (t *trimmer) busy(a *Actor) bool {
	durable := a.gate.durable.Load()
	moved := durable != t.durable
	t.durable = durable
	return moved || len(a.writers) > 0
}

// trim gives some space back, step by step, as long as trimSlice allows. A file system that is
// mounted to discard has the device forget what lay there, and many devices do nothing else
// meanwhile: time is what bounds the job, so that a slow device gets fewer steps.
func (a *Actor) trim(ctx context.Context, seen *trimmer) error {
	for start := time.Now(); ctx.Err() == nil; {
		slice, all := trimSlice(a.space.left(), a.space.reserve, seen.busy(a))
		n, err := a.store.Trim(all)
		if n == 0 || err != nil || time.Since(start) >= slice {
			return err
		}
	}
	return ctx.Err()
}

// trimSlice decides how long to go on with giving space back, of every trimEvery, after a first
// step, and whether what lies free within the drive's files is to go as well: it does not count as
// free space there, so with little left it must not rest.
func trimSlice(left, reserve int64, busy bool) (slice time.Duration, all bool) {
	switch {
	case left < reserve: // new data is refused
		return trimEvery, true
	case left < 2*reserve:
		return trimEvery / 2, true
	case busy:
		return 0, false
	}
	return trimEvery * 4 / 5, false
}
