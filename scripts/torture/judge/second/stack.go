package main

import (
	"slices"

	"holdfast/actors/sim"
)

// stack is a versioned key: its versions, the newest last, and the uploads that are open. Rows are never
// changed in place: states share them.
type stack struct {
	rows    []sim.Row
	uploads uint64 // a bit each
}

func (s stack) equal(t stack) bool { return s.uploads == t.uploads && slices.Equal(s.rows, t.rows) }

func (s stack) hash() uint64 {
	h := mix(s.uploads)
	for _, r := range s.rows {
		h = mix(h ^ uint64(r.Value)<<16 ^ uint64(r.Tag))
	}
	return h
}

// current is what a GET without a version id finds.
func (s stack) current() (r sim.Row) {
	if n := len(s.rows); n > 0 && !s.rows[n-1].Marker {
		r = s.rows[n-1]
	}
	return r
}

// find is the version that an operation names, or -1.
func (s stack) find(o op) int {
	return slices.IndexFunc(s.rows, func(r sim.Row) bool { return o.Null && r.Null || !o.Null && r.Value == o.Want })
}

// with puts a version on top. A null version takes the place of the one before.
func (s stack) with(r sim.Row) stack {
	rows := make([]sim.Row, 0, len(s.rows)+1)
	for _, old := range s.rows {
		if !r.Null || !old.Null {
			rows = append(rows, old)
		}
	}
	s.rows = append(rows, r)
	return s
}

// tagged gives a version a tag.
func (s stack) tagged(at int, tag uint16) stack {
	s.rows = slices.Clone(s.rows)
	s.rows[at].Tag = tag
	return s
}

func (s stack) step(o op) (stack, bool) {
	switch o.Kind {
	case sim.Get:
		now := s.current()
		return s, o.Value == now.Value && o.Tag == now.Tag
	case sim.Versions:
		return s, slices.Equal(sure(s.rows, o.doubt), sure(o.List, o.doubt))
	case sim.GetAt, sim.ListedAt, sim.TagAt, sim.Purge:
		return s.stepAt(o)
	case sim.Upload:
		s.uploads |= 1 << o.Upload
		return s, true
	case sim.Complete, sim.Abort:
		there := slices.ContainsFunc(s.rows, func(r sim.Row) bool { return r.Value == o.Want })
		var completes, ok bool
		if s.uploads, completes, ok = endUpload(s.uploads, o, there); completes {
			s = s.with(sim.Row{Value: o.Want, Tag: completedTag(o)})
		}
		return s, ok
	}
	now := s.current().Value
	if !holds(o, now) || o.Refused {
		return s, o.Refused && !holds(o, now)
	}
	switch o.Kind {
	case sim.Put, sim.PutIfAbsent, sim.PutIfMatch:
		return s.with(sim.Row{Value: o.Value, Tag: o.Value}), true
	case sim.Delete, sim.DeleteIfMatch:
		return s.with(sim.Row{Value: o.Value, Marker: true}), true
	case sim.PutNull:
		return s.with(sim.Row{Value: o.Value, Tag: o.Value, Null: true}), true
	case sim.DeleteNull:
		return s.with(sim.Row{Value: o.Value, Null: true, Marker: true}), true
	case sim.Tag:
		return s.tagged(len(s.rows)-1, o.Tag), true
	}
	return s, false
}

// stepAt is step for what names a version.
func (s stack) stepAt(o op) (stack, bool) {
	at := s.find(o)
	if at < 0 {
		switch o.Kind {
		case sim.GetAt, sim.ListedAt:
			return s, o.Value == 0
		}
		return s, o.Refused && !o.Held
	}
	r := s.rows[at]
	switch o.Kind {
	case sim.ListedAt:
		return s, o.Value == r.Value
	case sim.GetAt:
		if r.Marker {
			return s, o.Value == 0 && o.Tag == 0
		}
		return s, o.Value == r.Value && o.Tag == r.Tag
	case sim.TagAt:
		return s.tagged(at, o.Tag), !o.Refused
	}
	if o.Locked && !r.Marker && r.Tag%2 == 1 {
		return s, o.Refused && o.Held
	}
	s.rows = slices.Delete(slices.Clone(s.rows), at, at+1)
	return s, !o.Refused && !o.Held
}

// sure leaves out the versions that are in doubt.
func sure(rows []sim.Row, doubt map[uint16]bool) []sim.Row {
	if len(doubt) == 0 {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r sim.Row) bool { return doubt[r.Value] })
}
