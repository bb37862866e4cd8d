package quorum

import "holdfast/raftfsm/cluster"

// ListSet is a set and the drives of its members, by the owner's numbers; -1: none that answers.
type ListSet struct {
	Config SetConfig
	Drives [maxMembers]int
}

// ListBar is what a deal may not ask of a drive: one set for which it does not vouch, or anything.
type ListBar struct {
	Drive int
	All   bool
	Set   cluster.SetID // unless All
}

// ListDeal says which drives answer a list for which sets: every set by k of its judges (I4). Nobody
// changes it, so it serves many pages.
type ListDeal struct {
	Asks []ListAsk
	by   [][]int // set -> indexes in Asks
}

// ListAsk is what one drive is asked for: bits of sets whose rows are wanted whole, and of those of
// which the version's name suffices.
type ListAsk struct {
	Drive         int
	Full, Witness []uint64
}

// HasSet says whether a bitmap of an ask has a set.
func HasSet(bits []uint64, set cluster.SetID) bool {
	return int(set)/64 < len(bits) && bits[set/64]>>(set%64)&1 != 0
}

// Asked says whether a set is among those asked for.
func (a *ListAsk) Asked(set cluster.SetID) bool { return HasSet(a.Full, set) || HasSet(a.Witness, set) }

// dealing is a deal in the making.
type dealing struct {
	member [][]cluster.SetID // drive -> sets of which it can be asked
	need   []int             // set -> answers still wanted
	used   []bool
}

// DealList deals sets to drives: to as few as a greedy cover finds that begins with drive first, so
// that owners can spread lists over all drives. One of the drives of a set is asked for whole rows. If
// a set has too few drives, deal is nil, and lacking is that set, of which have drives answer.
func DealList(sets []ListSet, drives, first int, bars []ListBar, off Rules) (deal *ListDeal, lacking cluster.SetID, have int) {
	b := dealing{member: make([][]cluster.SetID, drives), need: make([]int, len(sets)), used: make([]bool, drives)}
	barred := map[ListBar]bool{}
	for _, bar := range bars {
		barred[bar] = true
	}
	open := 0
	for i := range sets {
		id := cluster.SetID(i)
		if b.need[i] = sets[i].Config.K; off.Off(NoEvidence) {
			b.need[i] = 1
		}
		have = 0
		for m := range sets[i].Config.Judges().All() {
			d := sets[i].Drives[m]
			if d >= 0 && !barred[ListBar{Drive: d, All: true}] && !barred[ListBar{Drive: d, Set: id}] {
				b.member[d] = append(b.member[d], id)
				have++
			}
		}
		if have < b.need[i] {
			return nil, id, have
		}
		open += b.need[i]
	}
	deal = &ListDeal{by: make([][]int, len(sets))}
	for open > 0 {
		d := b.best(first)
		b.used[d] = true
		for _, id := range b.member[d] {
			if b.need[id] > 0 {
				b.need[id]--
				open--
				deal.by[id] = append(deal.by[id], len(deal.Asks))
			}
		}
		words := (len(sets) + 63) / 64
		deal.Asks = append(deal.Asks, ListAsk{Drive: d, Full: make([]uint64, words), Witness: make([]uint64, words)})
	}
	for id, by := range deal.by {
		for j, i := range by {
			bits := deal.Asks[i].Witness
			if j == id%len(by) {
				bits = deal.Asks[i].Full
			}
			bits[id/64] |= 1 << (id % 64)
		}
	}
	return deal, 0, 0
}

// best is the drive, from first on, that can be asked for the most of what is still wanted.
func (b *dealing) best(first int) int {
	best, gain := -1, 0
	for j := range b.member {
		d, g := (first+j)%len(b.member), 0
		if b.used[d] {
			continue
		}
		for _, id := range b.member[d] {
			if b.need[id] > 0 {
				g++
			}
		}
		if g > gain {
			best, gain = d, g
		}
	}
	return best
}
