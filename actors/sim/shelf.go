package sim

import "holdfast/actors/quorum"

// shelf is the state of a versioned key: its versions, oldest first. It is the sequential specification
// of PUT, DELETE (a delete marker), PUT while suspended (the null version), and of what names a version.
type shelf struct {
	n    int8
	row  [maxShelf]kept
	open uint64 // bit per upload of the key
}

// kept is one version. A marker's value has the bit isMarker.
type kept struct {
	value, tag uint16
	null       bool
	late       bool // of a write that was never answered
}

const (
	maxShelf = 24
	isMarker = 1 << 15
)

func (s shelf) hash() uint64 {
	h := uint64(s.n) ^ mix(s.open)
	for i := range s.n {
		h = h*0x100000001b3 ^ uint64(s.row[i].value)<<16 ^ uint64(s.row[i].tag)
	}
	return mix(h)
}

// blind: lists do not speak of what was never answered, and nobody can name it. So it shows once it is on top,
// or once a null version that it replaced is missing; and nothing takes it away, but a null version a null version.
func (s shelf) blind(x, o *call) bool {
	switch x.kind {
	case callPut, callDelete:
		return o.kind != callTag
	case callPutNull, callDeleteNull:
		switch o.kind {
		case callPut, callPutIfAbsent, callPutIfMatch, callDelete, callDeleteIfMatch:
			for i := range s.n {
				if s.row[i].null && !s.row[i].late {
					return false
				}
			}
			return x.hidden
		}
	}
	return false
}

func (shelf) hides(x *call) bool {
	return x.kind == callPut || x.kind == callDelete || x.kind == callPutNull || x.kind == callDeleteNull
}

// shelfOf is what a list of versions says, newest first as the protocol gives it.
func shelfOf(list []quorum.Version) (s shelf) {
	for i := len(list) - 1; i >= 0; i-- {
		v := &list[i]
		k := kept{value: uint16(writeNumber(v.Ref.Write)), tag: uint16(v.Meta), null: v.Null}
		switch {
		case v.Kind == quorum.Purged || s.n == maxShelf:
			continue
		case v.Kind != quorum.Object:
			k.value |= isMarker
		}
		s.push(k)
	}
	return s
}

func (s shelf) top() kept {
	if s.n == 0 || s.row[s.n-1].value&isMarker != 0 {
		return kept{}
	}
	return s.row[s.n-1]
}

// answered leaves out what was never answered. Such a version may come to light late and yet lie below
// newer ones, as its stamp says: a list before may lack it, one behind it may have it.
func (s shelf) answered() (out shelf) {
	for i := range s.n {
		if !s.row[i].late {
			out.push(s.row[i])
		}
	}
	return out
}

func (s *shelf) push(k kept) { s.row[s.n] = k; s.n++ }

func (s *shelf) remove(i int8) {
	copy(s.row[i:], s.row[i+1:s.n])
	s.n--
	s.row[s.n] = kept{}
}

func (s shelf) find(value uint16) int8 {
	for i := range s.n {
		if s.row[i].value&^isMarker == value {
			return i
		}
	}
	return -1
}

// isHeld says of a version's tag that it forbids the version's removal, in a world with locks.
func isHeld(tag uint16) bool { return tag&1 != 0 }

// named is the version that a call names by its id, -1 if there is none.
func (s shelf) named(c *call) int8 {
	if !c.null {
		return s.find(c.want)
	}
	for i := range s.n {
		if s.row[i].null {
			return i
		}
	}
	return -1
}

func (s shelf) apply(c *call) (after shelf, ok bool) {
	top, late := s.top(), c.ret == never
	if done, ok := c.judged(top.value); !ok || done {
		return s, ok
	}
	switch c.kind {
	case callGet:
		return s, c.value == top.value && c.tag == top.tag
	case callVersions:
		return s, s.answered() == c.list.answered()
	case callTag:
		s.row[s.n-1].tag = c.tag
	case callUpload:
		s.open |= 1 << c.upload
	case callComplete, callAbort:
		return s.decide(c)
	case callGetAt:
		var at kept
		if i := s.named(c); i >= 0 && s.row[i].value&isMarker == 0 {
			at = s.row[i]
		}
		return s, c.value == at.value && c.tag == at.tag
	case callListedAt:
		var at kept
		if i := s.named(c); i >= 0 {
			at = s.row[i]
		}
		return s, c.value == at.value&^isMarker
	case callTagAt:
		i := s.named(c)
		if i < 0 || c.refused {
			return s, i < 0 && c.refused
		}
		s.row[i].tag = c.tag
	case callDelete, callDeleteIfMatch:
		s.push(kept{value: c.value | isMarker, late: late})
	case callPutNull, callDeleteNull:
		for i := s.n - 1; i >= 0; i-- {
			if s.row[i].null {
				s.remove(i)
			}
		}
		row := kept{value: c.value, tag: c.value, null: true, late: late}
		if c.kind == callDeleteNull {
			row.value, row.tag = c.value|isMarker, 0
		}
		s.push(row)
	case callPurge:
		i := s.named(c)
		held := i >= 0 && c.locked && s.row[i].value&isMarker == 0 && isHeld(s.row[i].tag)
		if c.ret != never && (c.refused != (i < 0 || held) || c.held != held) || c.ret == never && (i < 0 || held) {
			return s, false
		}
		if held {
			return s, true
		}
		if i >= 0 {
			s.remove(i)
		}
	default:
		s.push(kept{value: c.value, tag: c.value, late: late})
	}
	return s, true
}

// decide is register.decide: what was completed lies among the versions, the current one or not.
func (s shelf) decide(c *call) (after shelf, ok bool) {
	if c.kind == callComplete && s.find(c.want) >= 0 {
		return s, !c.refused
	}
	if s.open>>c.upload&1 == 0 {
		return s, c.refused
	}
	s.open &^= 1 << c.upload
	switch {
	case c.refused:
		return s, c.maybe
	case c.kind == callComplete:
		s.push(kept{value: c.want, tag: max(c.want, c.tag), late: c.maybe})
	}
	return s, true
}
