package main

import "holdfast/actors/sim"

// object is a key without versions: what stands, with its tag, and the uploads that are open.
type object struct {
	value, tag uint16
	uploads    uint64 // a bit each
}

func (s object) hash() uint64 { return mix(uint64(s.value)<<16 | uint64(s.tag) ^ mix(s.uploads)) }

// holds says whether the condition of an operation holds where a value stands. What has none holds.
func holds(o op, stands uint16) bool {
	switch o.Kind {
	case sim.PutIfAbsent:
		return stands == 0
	case sim.PutIfMatch, sim.DeleteIfMatch:
		return stands != 0 && stands == o.Want
	case sim.Tag:
		return stands != 0
	}
	return true
}

func (s object) step(o op) (object, bool) {
	switch o.Kind {
	case sim.Get:
		return s, o.Value == s.value && o.Tag == s.tag
	case sim.Upload:
		s.uploads |= 1 << o.Upload
		return s, true
	case sim.Complete, sim.Abort:
		var completes, ok bool
		s.uploads, completes, ok = endUpload(s.uploads, o, s.value == o.Want)
		if completes {
			s.value, s.tag = o.Want, completedTag(o)
		}
		return s, ok
	}
	if !holds(o, s.value) || o.Refused {
		return s, o.Refused && !holds(o, s.value)
	}
	switch o.Kind {
	case sim.Put, sim.PutIfAbsent, sim.PutIfMatch:
		s.value, s.tag = o.Value, o.Value
	case sim.Delete, sim.DeleteIfMatch:
		s.value, s.tag = 0, 0
	case sim.Tag:
		s.tag = o.Tag
	default:
		return s, false
	}
	return s, true
}

// endUpload is the end of an upload, of which there is one. there: its object stands already, and who
// completes it again is told so.
func endUpload(uploads uint64, o op, there bool) (after uint64, completes, ok bool) {
	bit := uint64(1) << o.Upload
	switch {
	case o.Kind == sim.Complete && there:
		return uploads, false, !o.Refused
	case uploads&bit == 0:
		return uploads, false, o.Refused
	case o.Refused: // it went with another completion
		return uploads &^ bit, false, o.rival
	}
	return uploads &^ bit, o.Kind == sim.Complete, true
}

// completedTag is the tag of a completed upload: its own number, or that of the parts that were chosen.
func completedTag(o op) uint16 { return max(o.Want, o.Tag) }
