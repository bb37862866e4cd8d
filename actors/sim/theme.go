package sim

import "slices"

// theme is what a dense world is about: which holes it gives a chance to.
type theme struct {
	kinds   []callKind
	some    int // of the kinds, beside reads; 0 = all
	most    int // operations
	from    int64
	to      int64 // how long it lasts
	exact   int   // thousandths: an operation begins at the very microsecond of others
	slowMax []int64
	faults  []faultKind
	short   bool // faults are short, and where operations are
	deaf    bool
	clocks  bool
}

func themes() []theme {
	return []theme{
		{ // tombstones come, are collected, and come late
			kinds: []callKind{callPut, callDelete, callDelete}, most: 12, from: 500 * ms, to: 2600 * ms,
			slowMax: []int64{100 * ms, 400 * ms, 2 * s}, faults: []faultKind{faultCrash, faultCrash, faultDrive, faultPause},
		},
		{ // the same, with newcomers
			kinds: []callKind{callPut, callDelete, callDelete, callPutIfAbsent}, some: 3, most: 14, from: 300 * ms, to: 2600 * ms,
			slowMax: []int64{100 * ms, 400 * ms, 2 * s}, faults: []faultKind{faultMove, faultMove, faultMove, faultCrash, faultSplit, faultCancel}, deaf: true,
		},
		{ // ballots of one moment, forgotten promises
			kinds: []callKind{callPut, callPutIfAbsent, callPutIfMatch, callTag, callTag, callUpload, callComplete, callAbort}, some: 3, most: 16,
			from: 20 * ms, to: 300 * ms, exact: 700, slowMax: []int64{3 * ms, 10 * ms, 100 * ms},
			faults: []faultKind{faultCrash, faultCrash, faultDrive, faultSplit, faultSplit}, short: true,
		},
		{ // members that do not know of a move
			kinds: []callKind{callPut, callPut, callDelete, callPutIfAbsent, callPutIfMatch}, some: 3, most: 16, from: 60 * ms, to: 1500 * ms,
			slowMax: []int64{10 * ms, 100 * ms}, faults: []faultKind{faultMove, faultMove, faultMove, faultSplit, faultSplit, faultPause}, deaf: true,
		},
		{ // clocks
			kinds: []callKind{callPut, callPutIfAbsent, callDelete, callTag}, some: 2, most: 12, from: 60 * ms, to: 800 * ms,
			slowMax: []int64{10 * ms, 400 * ms}, faults: []faultKind{faultJump, faultJump, faultCrash}, clocks: true,
		},
	}
}

// drawTheme makes the plan of a world with a theme.
func (p *Plan) drawTheme(r *rng, t Tuning) {
	all := themes()
	th := &all[r.n(len(all))]
	p.n = []int{2, 4, 4, 4, 4, 6}[r.n(6)]
	p.drives = p.n + 1 + r.n(2)
	p.nodes = p.drives
	p.sets, p.keys, p.clients, p.writesLast = 1, 1+r.n(2), 3+r.n(4), true
	p.end = r.between(th.from, th.to)
	p.versioned = t.Versioned && r.chance(150)
	l := &p.luck
	l.slowMax = th.slowMax[r.n(len(th.slowMax))]
	l.loss, l.dup, l.slow, l.die, l.syncSlow = r.n(2)*r.n(250), r.n(2)*r.n(500), r.n(600), r.n(2)*r.n(500), r.n(2)*r.n(600)
	if th.deaf {
		l.deaf, l.deafMax = r.n(1000), r.between(100, 2500)*ms
	}
	if th.clocks {
		for i := range p.nodes {
			p.clockOff[i] = r.between(-300, 300) * ms
		}
	}
	var moments []int64
	for range 1 + r.n(4) {
		moments = append(moments, r.between(0, p.end))
	}
	p.drawThemeOps(r, th, moments)
	for range 1 + r.n(3) {
		k := th.faults[r.n(len(th.faults))]
		if t.Faults>>k&1 == 0 {
			continue
		}
		for range 1 + r.n(4) {
			p.drawFault(r, k)
			if f := &p.faults[len(p.faults)-1]; th.short || r.chance(300) {
				f.at = min(max(0, moments[r.n(len(moments))]+r.between(-2, 8)*ms), p.end)
				f.end = f.at + r.between(1, 30)*ms
			}
			if f := &p.faults[len(p.faults)-1]; k == faultJump && r.chance(400) {
				f.amount = 365 * 24 * 3600 * s
			}
		}
	}
}

func (p *Plan) drawThemeOps(r *rng, th *theme, moments []int64) {
	kinds := []callKind{callGet}
	for i := range th.kinds {
		if th.some == 0 {
			kinds = append(kinds, th.kinds[i])
		}
	}
	for range th.some {
		kinds = append(kinds, th.kinds[r.n(len(th.kinds))])
	}
	if slices.Contains(kinds, callComplete) || slices.Contains(kinds, callAbort) {
		kinds = append(kinds, callUpload)
	}
	for range 3 + r.n(th.most) {
		k := kinds[r.n(len(kinds))]
		if p.versioned && (k == callUpload || k == callComplete || k == callAbort) {
			k = callPurge
		}
		at := moments[r.n(len(moments))]
		if !r.chance(th.exact) {
			at += r.between(0, 3*ms)
		}
		p.ops = append(p.ops, opPlan{at: at, kind: k, client: int16(r.n(p.clients)), key: uint8(r.n(p.keys)), inline: r.chance(800), head: r.chance(400)})
	}
	slices.SortStableFunc(p.ops, func(a, b opPlan) int { return int(a.at - b.at) })
}
