package drive

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/ondisk"
)

// places tells which payloads rows of the index refer to, at the time of its iterator. Of a key with many rows
// it remembers the answer: a file of the journal may hold payloads of thousands of its versions.
type places struct {
	it   *pebble.Iterator
	walk []ondisk.Location // scratch
	many map[string]map[ondisk.Location]struct{}
	held int // places in many
}

const (
	// manyRows is how many rows of a key are walked again rather than remembered.
	manyRows = 64
	// maxPlaces is how many places are remembered, of all keys but the last.
	maxPlaces = 1 << 17
)

// refer says whether a row refers to the payload at a place. key is that of the row with which the payload was
// written, and most often still has it; any other row of its prefix may have it too.
func (p *places) refer(key, prefix []byte, at ondisk.Location) (bool, error) {
	var own ondisk.VersionOwn
	if p.it.SeekPrefixGE(key) && bytes.Equal(p.it.Key(), key) {
		if _, err := ondisk.DecodeVersionOwn(&own, p.it.Value()); err != nil {
			return false, damaged(err)
		}
		if own.At == at {
			return true, nil
		}
	}
	if all, ok := p.many[string(prefix)]; ok {
		_, ok = all[at]
		return ok, nil
	}
	p.walk = p.walk[:0]
	found, err := findRow(p.it, prefix, func(now ondisk.Location, _ []byte) (bool, error) {
		p.walk = append(p.walk, now)
		return now == at, nil
	})
	if err != nil || found == at {
		return err == nil, err
	}
	if len(p.walk) > manyRows {
		p.remember(prefix)
	}
	return false, nil
}

// remember keeps what a walk through all rows of a key has met.
func (p *places) remember(prefix []byte) {
	if p.many == nil || p.held > maxPlaces {
		p.many, p.held = make(map[string]map[ondisk.Location]struct{}), 0
	}
	all := make(map[ondisk.Location]struct{}, len(p.walk))
	for _, at := range p.walk {
		all[at] = struct{}{}
	}
	p.many[string(prefix)] = all
	p.held += len(all)
}
