package main

import "holdfast/actors/sim"

// bucket is a bucket that comes and goes, with its keys.
type bucket struct {
	exists bool
	frozen bool
	since  int64     // of a freeze: when its client was told; sim.Never if nobody was
	keys   [4]uint16 // what stands under each name
}

func (s bucket) hash() uint64 {
	h := uint64(s.since) << 2
	if s.exists {
		h++
	}
	if s.frozen {
		h += 2
	}
	for _, v := range s.keys {
		h = mix(h ^ uint64(v))
	}
	return h
}

func (s bucket) step(o op) (bucket, bool) {
	switch {
	case o.Gone:
		return s, !s.exists
	case o.Kind == sim.Create:
		if s.exists {
			return s, o.Refused
		}
		return bucket{exists: true}, !o.Refused
	case !s.exists:
		return s, false
	}
	// A freeze binds what begins behind its answer: of a write that was let in before, some of the members may
	// have it already.
	writable := !s.frozen || o.Invoke < s.since || o.open
	stands := &s.keys[o.Name]
	switch o.Kind {
	case sim.Get, sim.Listed:
		return s, o.Value == *stands
	case sim.Drop:
		if s.keys != (bucket{}).keys {
			return s, o.Refused
		}
		return bucket{}, !o.Refused
	case sim.Freeze:
		s.frozen, s.since = false, 0
		if o.Value != 0 {
			s.frozen, s.since = true, o.Return
		}
		return s, true
	case sim.PutIfAbsent:
		if *stands != 0 {
			return s, o.Refused
		}
		if o.Refused {
			return s, false
		}
	case sim.Put, sim.Delete:
	default:
		return s, false
	}
	*stands = o.Value
	return s, writable
}
