package sim

import "slices"

// drawDense makes the plan of a small world in which few kinds of things happen, often and together.
func (p *Plan) drawDense(r *rng, t Tuning) {
	if p.Seed%2 == 0 {
		p.drawTheme(r, t)
		return
	}
	p.n = []int{2, 2, 4, 4, 4, 6}[r.n(6)]
	p.drives = p.n + 1 + r.n(3)
	p.nodes = p.drives
	p.sets, p.keys, p.clients = 1, 1+r.n(2), 2+r.n(4)
	p.end = r.between(40, 400) * ms
	if r.chance(400) {
		p.end = r.between(400, 2500) * ms
	}
	p.versioned = t.Versioned && r.chance(200)
	l := &p.luck
	l.slowMax = []int64{20 * ms, 100 * ms, 400 * ms, 2 * s}[r.n(4)]
	for _, x := range []struct {
		of   *int
		most int
	}{{&l.loss, 300}, {&l.dup, 500}, {&l.slow, 600}, {&l.die, 700}, {&l.syncSlow, 400}, {&l.deaf, 900}} {
		if r.chance(500) {
			*x.of = r.n(x.most)
		}
	}
	l.deafMax = r.between(50, 1500) * ms
	if r.chance(300) {
		for i := range p.nodes {
			p.clockOff[i] = r.between(-300, 300) * ms
		}
	}
	p.drawFew(r)
	p.drawNamed(&rng{mix(p.Seed + 3)})
	for range 1 + r.n(3) {
		kinds := []faultKind{faultCrash, faultPause, faultCut, faultJump, faultDrive, faultMove, faultMove, faultMove, faultCancel, faultCrash}
		k := kinds[r.n(len(kinds))]
		if t.Faults>>k&1 == 0 {
			continue
		}
		for range 1 + r.n(6) {
			p.drawFault(r, k)
		}
	}
}

// drawFew draws operations of at most four kinds.
func (p *Plan) drawFew(r *rng) {
	kinds := []callKind{callPut, callGet, callDelete, callPutIfAbsent, callPutIfMatch, callDeleteIfMatch, callTag, callUpload, callComplete, callAbort}
	if p.versioned {
		kinds = append(kinds[:7], callPutNull, callPurge, callVersions)
	}
	few := []callKind{callPut, callGet}
	for range 1 + r.n(3) {
		k := kinds[r.n(len(kinds))]
		few = append(few, k, k)
		if k == callComplete || k == callAbort {
			few = append(few, callUpload)
		}
	}
	// Much of it happens in a few moments, from several clients.
	var moments []int64
	for range 1 + r.n(6) {
		moments = append(moments, r.between(0, p.end))
	}
	most := 4 + r.n(20)
	for range most {
		at := moments[r.n(len(moments))] + r.between(0, 2*ms)
		if r.chance(200) {
			at = r.between(0, p.end)
		}
		p.ops = append(p.ops, opPlan{
			at: at, kind: few[r.n(len(few))], client: int16(r.n(p.clients)), key: uint8(r.n(p.keys)), inline: r.chance(700), head: r.chance(300),
		})
	}
	slices.SortStableFunc(p.ops, func(a, b opPlan) int { return int(a.at - b.at) })
}
