package ondisk

import (
	"google.golang.org/protobuf/encoding/protowire"

	"holdfast/actors/object"
)

// AppendKeyState appends the value of a KeyState row.
func AppendKeyState(dst []byte, s *KeyState) []byte {
	dst = appendBatch(dst, s.Batch)
	if s.Promise != (object.VersionRef{}) {
		dst = appendVersionRef(dst, 1, s.Promise)
	}
	if s.Decision != (Decision{}) {
		var start int
		dst, start = beginMessage(dst, 2)
		dst = appendVersionRef(dst, 1, s.Decision.Ballot)
		dst = appendVersionRef(dst, 2, s.Decision.Ref)
		dst = endMessage(appendFixed(dst, 3, uint64(s.Decision.Rev)), start)
	}
	for i := range s.Dead {
		dst = appendDeadMark(dst, 3, &s.Dead[i])
	}
	for i := range s.Hints {
		h := &s.Hints[i]
		var start int
		dst, start = beginMessage(dst, 4)
		dst = appendFixed(appendVersionRef(dst, 1, h.Ref), 2, uint64(h.Rev))
		dst = endMessage(appendUint(dst, 3, uint64(h.Slots)), start)
	}
	dst = appendFixed(dst, 5, uint64(s.Revised))
	return append(dst, s.Unknown...)
}

// DecodeKeyState reads what AppendKeyState wrote.
func DecodeKeyState(value []byte) (KeyState, error) {
	var s KeyState
	err := DecodeKeyStateInto(&s, value)
	return s, err
}

// DecodeKeyStateInto is DecodeKeyState into s, whose slices it uses again.
func DecodeKeyStateInto(s *KeyState, value []byte) error {
	d, batch := batchDecoder("key state", value)
	*s = KeyState{Batch: batch, Dead: s.Dead[:0], Hints: s.Hints[:0], Unknown: s.Unknown[:0]}
	for d.next() {
		switch d.num {
		case 1:
			s.Promise = d.versionRef()
		case 2:
			s.Decision = d.decision()
		case 3:
			s.Dead = append(s.Dead, d.deadMark())
		case 4:
			s.Hints = append(s.Hints, d.hint())
		case 5:
			s.Revised = object.Stamp(d.fixed())
		default:
			s.Unknown = d.appendUnknown(s.Unknown)
		}
	}
	return d.err
}

// Empty reports whether there is nothing to say, so that the row can go.
func (s *KeyState) Empty() bool {
	return s.Promise == (object.VersionRef{}) && s.Decision == (Decision{}) && len(s.Dead) == 0 && len(s.Hints) == 0 &&
		s.Revised == 0 && len(s.Unknown) == 0
}

func (d *decoder) decision() (dec Decision) {
	m := d.message("decision")
	for m.next() {
		switch m.num {
		case 1:
			dec.Ballot = m.versionRef()
		case 2:
			dec.Ref = m.versionRef()
		case 3:
			dec.Rev = object.Stamp(m.fixed())
		default:
			m.newer("unknown field")
		}
	}
	d.adopt(&m)
	return dec
}

func (d *decoder) hint() (h Hint) {
	m := d.message("hint")
	for m.next() {
		switch m.num {
		case 1:
			h.Ref = m.versionRef()
		case 2:
			h.Rev = object.Stamp(m.fixed())
		case 3:
			h.Slots = m.u32()
		default:
			m.newer("unknown field")
		}
	}
	d.adopt(&m)
	return h
}

// Flags of a dead mark.
const (
	deadNull   = 1
	deadProven = 2
)

func appendDeadMark(dst []byte, num protowire.Number, a *DeadMark) []byte {
	dst, start := beginMessage(dst, num)
	dst = appendFixed(appendVersionRef(dst, 1, a.Ref), 2, uint64(a.Rev))
	dst = appendUint(dst, 3, a.Epoch)
	flags := uint64(0)
	if a.Null {
		flags |= deadNull
	}
	if a.Proven {
		flags |= deadProven
	}
	dst = appendUint(dst, 4, flags)
	if a.Ballot != (object.VersionRef{}) {
		dst = appendVersionRef(dst, 5, a.Ballot)
	}
	return endMessage(dst, start)
}

func (d *decoder) deadMark() (a DeadMark) {
	m := d.message("dead mark")
	for m.next() {
		switch m.num {
		case 1:
			a.Ref = m.versionRef()
		case 2:
			a.Rev = object.Stamp(m.fixed())
		case 3:
			a.Epoch = m.u64()
		case 4:
			flags := m.u64()
			if flags&^(deadNull|deadProven) != 0 {
				m.newer("unknown flag")
			}
			a.Null, a.Proven = flags&deadNull != 0, flags&deadProven != 0
		case 5:
			a.Ballot = m.versionRef()
		default:
			m.newer("unknown field")
		}
	}
	d.adopt(&m)
	return a
}

// AppendSetRow appends the value of an E row.
func AppendSetRow(dst []byte, s *SetRow) []byte {
	dst = append(dst, rowFormat)
	dst = appendUint(dst, 1, s.Epoch)
	dst = appendUint(dst, 2, uint64(s.N))
	dst = appendUint(dst, 3, uint64(s.Member))
	dst = appendUint(dst, 4, uint64(s.State))
	dst = appendFixed(dst, 5, uint64(s.GCFloor))
	dst = appendUint(dst, 6, uint64(s.Phase))
	dst = appendUint(dst, 7, uint64(s.Moving))
	dst = appendUint(dst, 8, uint64(s.Vacant))
	dst = appendUint(dst, 9, uint64(s.Declared))
	dst = appendUint(dst, 10, s.Joined)
	return append(dst, s.Unknown...)
}

// DecodeSetRow reads what AppendSetRow wrote.
func DecodeSetRow(value []byte) (SetRow, error) {
	var s SetRow
	d := rowDecoder("set row", value)
	for d.next() {
		switch d.num {
		case 1:
			s.Epoch = d.u64()
		case 2:
			s.N = d.u8()
		case 3:
			s.Member = d.u8()
		case 4:
			if s.State = SetState(d.u8()); s.State > SetLost {
				d.newer("unknown state")
			}
		case 5:
			s.GCFloor = object.Stamp(d.fixed())
		case 6:
			if s.Phase = d.u8(); s.Phase > maxPhase {
				d.newer("unknown phase")
			}
		case 7:
			s.Moving = d.u8()
		case 8:
			s.Vacant = d.u32()
		case 9:
			s.Declared = d.u32()
		case 10:
			s.Joined = d.u64()
		default:
			s.Unknown = d.appendUnknown(s.Unknown)
		}
	}
	return s, d.err
}

// maxPhase is the last phase of a slot move that this release knows.
const maxPhase = 2
