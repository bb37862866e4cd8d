package quorum

import "holdfast/raftfsm/cluster"

// Phase is how far a slot move of a set has come. Each step raises the set's epoch.
type Phase uint8

// Phases. A move from drive A to drive B can be cancelled (back to Settled, A stays) while it is Begun.
const (
	Settled Phase = iota // no move: one set of members
	Begun                // B opens as rebuilding; acks and kills are joint, evidence comes from the old members
	Flipped              // B holds everything; acks and kills are joint, evidence comes from the new members
)

// SetConfig is what the control plane says of one erasure set at one epoch. Its members are the
// drives in slots 0..N-1 and, during a move, the newcomer, which has the index N. Slots therefore
// holds members here: bit i for slot i's drive, bit N for the newcomer to slot Moving.
type SetConfig struct {
	ID    cluster.SetID
	Epoch uint64
	Shape
	Phase    Phase
	Moving   int   // the slot that moves, unless Settled
	Vacant   Slots // slots that nobody fills (an operator gave their drive up): no members at all
	Declared Slots // members declared off by an operator: they count as adopting every epoch
}

// Newcomer is the index of the drive that a move brings in.
func (c *SetConfig) Newcomer() int { return c.N }

// Old are the members before the move.
func (c *SetConfig) Old() Slots { return AllSlots(c.N) &^ c.Vacant }

// New are the members after the move; without one they are the old.
func (c *SetConfig) New() Slots {
	if c.Phase == Settled {
		return c.Old()
	}
	return c.Old()&^Slot(c.Moving) | Slot(c.N)
}

// Members are all members, the newcomer included.
func (c *SetConfig) Members() Slots { return c.Old() | c.New() }

// Judges are the members whose answers are evidence: the old ones until the flip, then the new.
func (c *SetConfig) Judges() Slots {
	if c.Phase == Flipped {
		return c.New()
	}
	return c.Old()
}

// Unheard are the judges that have not answered, and the slots that nobody fills: whoever was there
// may have accepted anything.
func (c *SetConfig) Unheard(answered Slots) Slots {
	vacant := c.Vacant
	if c.Phase == Flipped {
		vacant &^= Slot(c.Moving)
	}
	return (c.Judges() | vacant) &^ answered
}

// SlotsOf maps members to slots: what the newcomer lacks, its slot lacks when the move is done.
func (c *SetConfig) SlotsOf(members Slots) Slots {
	if c.Phase != Settled && members.Has(c.N) {
		members = members&^Slot(c.N) | Slot(c.Moving)
	}
	return members
}

// Seat is a member's part in an epoch; the ballot is the caller's.
func (c *SetConfig) Seat(member int) Seat {
	s := Seat{Epoch: c.Epoch, W: uint8(c.W), Joint: c.Phase != Settled}
	s.Old = c.Old().Has(member)
	s.New = c.New().Has(member)
	return s
}

// Acks is the ack rule (I2): W of the old members and, while a slot moves, W of the new ones (I16).
func (c *SetConfig) Acks(accepted Slots, off Rules) bool {
	w := c.need(off)
	if (accepted & c.Old()).Len() < w {
		return false
	}
	return c.Phase == Settled || off.Off(NoJointAcks) || (accepted&c.New()).Len() >= w
}

// need is W.
func (c *SetConfig) need(off Rules) int {
	if off.Off(NoWriteQuorum) {
		return c.K
	}
	return c.W
}

// Kills is the kill rule (I7): k marks of the old members and, while a slot moves, k of the new (P6).
func (c *SetConfig) Kills(marked Slots, off Rules) bool {
	k := c.K
	if off.Off(NoKillProof) {
		k = 1
	}
	if (marked & c.Old()).Len() < k {
		return false
	}
	return c.Phase == Settled || off.Off(NoJointKill) || (marked&c.New()).Len() >= k
}

// Evident says whether enough members answered for a conclusion (I4).
func (c *SetConfig) Evident(answered Slots, off Rules) bool {
	k := c.K
	if off.Off(NoEvidence) {
		k = 1
	}
	return (answered & c.Judges()).Len() >= k
}

// Seat is the part a drive had in an epoch in which it accepted a version, and the ballot of that
// accept. A row keeps one for each, because W counts by the ack rule of one epoch only (P2) and under
// one ballot only. It says all that the rule needs, so no history of configurations is kept anywhere.
type Seat struct {
	Epoch    uint64
	Ballot   Ballot
	W        uint8
	Joint    bool
	Old, New bool
}
