package quorum

// Vacancy is what a drive says of one key when its bucket is to go.
type Vacancy uint8

// Vacancies.
const (
	Vacant   Vacancy = iota + 1 // nothing, or what only waits for collection
	Occupied                    // a stable object or marker
	Unclear                     // in doubt
)

// Vacated judges one key on one drive.
func Vacated(k *KeyState) Vacancy {
	found := Vacant
	for i := range k.Versions {
		v := &k.Versions[i]
		newest := i == 0 || k.Versions[i-1].Ref != v.Ref
		switch {
		case !v.Stable:
			return Unclear
		case newest && (v.Kind == Object || v.Kind == Marker):
			found = Occupied
		}
	}
	return found
}

// BucketDelete decides whether a bucket may be removed. The control plane has raised its revision and
// sealed it; k in-sync members of every set must hold the seal before their word that nothing is
// there counts, since only then can nothing more come (I23). What they do not agree is absent is
// resolved key by key.
type BucketDelete struct {
	off     Rules
	sets    []SetConfig
	sealed  []Slots
	out     []Slots
	empty   []Slots
	open    map[string]struct{}
	state   DeleteState
	lacking int
}

// DeleteState is how far a deletion has come.
type DeleteState uint8

// States of a BucketDelete.
const (
	DeleteSealing   DeleteState = iota // every member of every set is sent ReqFence{Sealed}; Sealed or Lost tells
	DeleteAsking                       // the members in Ask are asked for their keys; Reported or Lost tells
	DeleteResolving                    // each of Unclear: Update{Settle} with Target.Sealed; Resolved tells
	DeleteRemove                       // empty: propose the removal
	DeleteOccupied                     // propose to lift the seal: 409
	DeleteStuck                        // propose to lift the seal: 503, set Lacking has fewer than k members
)

// NewBucketDelete returns the machine for a bucket that has been sealed in the control plane.
func NewBucketDelete(sets []SetConfig, off Rules) *BucketDelete {
	d := &BucketDelete{
		off: off, sets: sets, open: map[string]struct{}{},
		sealed: make([]Slots, len(sets)), out: make([]Slots, len(sets)), empty: make([]Slots, len(sets)),
	}
	for i := range sets {
		d.out[i] = sets[i].Members()
	}
	if off.Off(NoSeal) {
		for i := range sets {
			d.sealed[i] = sets[i].Judges()
		}
		d.ask()
	}
	return d
}

// State says what is next; Lacking is the set that made it DeleteStuck.
func (d *BucketDelete) State() (state DeleteState, lacking int) { return d.state, d.lacking }

// Sealed tells that a member holds the seal durably; judge, that its slot is in sync.
func (d *BucketDelete) Sealed(set, member int, judge bool) {
	if d.state != DeleteSealing {
		return
	}
	d.out[set] &^= Slot(member)
	if judge {
		d.sealed[set] |= Slot(member)
	}
	d.judgeSeals()
}

// Lost tells that a member does not answer.
func (d *BucketDelete) Lost(set, member int) {
	d.out[set] &^= Slot(member)
	switch d.state {
	case DeleteSealing:
		d.judgeSeals()
	case DeleteAsking:
		d.judgeReports()
	}
}

func (d *BucketDelete) judgeSeals() {
	done := true
	for i := range d.sets {
		if !d.sets[i].Evident(d.sealed[i], 0) {
			if d.out[i] == 0 {
				d.state, d.lacking = DeleteStuck, i
				return
			}
			done = false
		}
	}
	if done {
		d.ask()
	}
}

func (d *BucketDelete) ask() {
	d.state = DeleteAsking
	for i := range d.sets {
		d.out[i] = d.Ask(i)
	}
}

// Ask are the members of a set whose word counts: those that hold the seal.
func (d *BucketDelete) Ask(set int) Slots { return d.sealed[set] & d.sets[set].Judges() }

// Reported takes a member's word on a set: the keys on it that are not Vacant.
func (d *BucketDelete) Reported(set, member int, keys []string) {
	if d.state != DeleteAsking {
		return
	}
	d.out[set] &^= Slot(member)
	d.empty[set] |= Slot(member)
	for _, k := range keys {
		d.open[k] = struct{}{}
	}
	d.judgeReports()
}

func (d *BucketDelete) judgeReports() {
	for i := range d.sets {
		if !d.sets[i].Evident(d.empty[i], d.off) {
			if d.out[i] == 0 {
				d.state, d.lacking = DeleteStuck, i
			}
			return
		}
	}
	d.state = DeleteResolving
	d.finish()
}

// Unclear are the keys that somebody holds something of.
func (d *BucketDelete) Unclear() []string {
	out := make([]string, 0, len(d.open))
	for k := range d.open {
		out = append(out, k)
	}
	return out
}

// Resolved tells what a resolution found of a key: versions that stand, or that it failed.
func (d *BucketDelete) Resolved(key string, r Result) {
	if d.state != DeleteResolving {
		return
	}
	delete(d.open, key)
	if r.Status != StatusOK {
		d.state, d.lacking = DeleteStuck, -1
		return
	}
	for i := range r.Versions {
		if k := r.Versions[i].Kind; k == Object || k == Marker {
			d.state = DeleteOccupied
			return
		}
	}
	d.finish()
}

func (d *BucketDelete) finish() {
	if len(d.open) == 0 {
		d.state = DeleteRemove
	}
}
