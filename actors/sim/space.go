package sim

// space is the state of a bucket with all its keys: the sequential specification of worlds with bucket
// life. A list is no call of it but a read of each name.
type space struct {
	exists, frozen bool
	value          [names]uint16
	since          int64 // when the freeze was answered
}

func (s space) hash() uint64 {
	h := uint64(0)
	if s.exists {
		h = 1
	}
	if s.frozen {
		h |= 2
	}
	for _, v := range s.value {
		h = h<<16 ^ uint64(v)
	}
	return mix(h ^ uint64(s.since))
}

func (space) blind(_, _ *call) bool { return false }
func (space) hides(*call) bool      { return false }

func (s space) empty() bool { return s.value == [names]uint16{} }

func (s space) apply(c *call) (after space, ok bool) {
	if c.gone { // there was no bucket
		return s, !s.exists
	}
	if c.kind == callCreate {
		if c.refused || s.exists {
			return s, c.refused && s.exists
		}
		return space{exists: true}, true
	}
	if !s.exists {
		return s, false
	}
	v := &s.value[c.name]
	// A write that was let in may come to light behind a freeze: W of its drives need not have taken it yet, and
	// those that have not need not be among the k that know. One that begins behind the answer may not.
	writes := !s.frozen || c.ret == never || c.invoke < s.since
	switch c.kind {
	case callDrop:
		if c.refused || !s.empty() {
			return s, c.refused && !s.empty()
		}
		return space{}, true
	case callFreeze:
		if s.frozen, s.since = c.value != 0, 0; s.frozen {
			s.since = c.ret
		}
	case callGet, callListed:
		return s, c.value == *v
	case callPutIfAbsent:
		if c.refused {
			return s, *v != 0
		}
		writes = writes && *v == 0
		*v = c.value
	case callPut, callDelete:
		*v = c.value
	}
	if c.kind == callFreeze {
		writes = true
	}
	return s, writes
}

// drawBuckets mixes the operations of a world with bucket life.
func (p *Plan) drawBuckets(r *rng, t Tuning) {
	kinds := []callKind{callGet, callPut, callDelete, callPutIfAbsent, callList, callCreate, callDrop, callFreeze}
	weight := []int{1 + r.n(6), 2 + r.n(8), 1 + r.n(8), r.n(4), r.n(8), 1 + r.n(2), 1 + r.n(3), r.n(3)}
	sum := 0
	for _, x := range weight {
		sum += x
	}
	room := 44 // of the checker; a list takes one for each name
	for range t.MinOps + 4 + r.n(t.MaxOps-t.MinOps+1) {
		o := opPlan{at: r.between(0, p.end), client: int16(r.n(p.clients)), key: uint8(r.n(names)), inline: r.chance(600)}
		x := r.n(sum)
		for i, k := range kinds {
			if x -= weight[i]; x < 0 {
				o.kind = k
				break
			}
		}
		if room--; o.kind == callList {
			room -= names
		}
		if room < 0 {
			break
		}
		p.ops = append(p.ops, o)
	}
	p.ops = append(p.ops, opPlan{kind: callCreate, client: int16(r.n(p.clients))})
}

// invokeIn begins a call on the bucket or one of its keys, which are named and not numbered.
func (w *World) invokeIn(who, at int16, o *opPlan, value uint16) int32 {
	k := call{kind: o.kind, name: o.key, invoke: w.step, ret: never, client: who, deadline: w.now + patience}
	if o.kind == callPut || o.kind == callPutIfAbsent {
		k.value = value
	}
	c := &w.clients[who]
	i := int32(len(w.calls[0]))
	w.calls[0] = append(w.calls[0], k)
	c.busy, c.key, c.call = true, 0, i
	c.turn++
	w.Calls++
	w.q.push(event{at: w.now + patience, kind: evCall, who: who})
	w.note("client %d at node %d: %s %s value %d", who, at, o.kind, nameOf(o.key), value)
	w.begin(who, at, o, &w.calls[0][i], value)
	return i
}

// spanOf makes the driver of an operation over many sets; nil if it is of one key.
func (w *World) spanOf(o *opPlan, salt uint64) span {
	f := fate(w.seed, 0x11e7, salt, 0)
	switch o.kind {
	case callList:
		if o.one {
			return &listing{limit: names, some: 1}
		}
		return &listing{limit: 1 + f.n(names), some: 1 + f.n(names), versions: f.n(2) == 0}
	case callPages:
		if o.one {
			return &listing{limit: 5, some: 1, versions: true}
		}
		return &listing{limit: 1 + f.n(5), some: 1 + f.n(6), versions: true}
	case callCreate:
		return &creation{}
	case callDrop:
		return &deletion{}
	case callFreeze:
		return &freezing{}
	}
	return nil
}
