package sim

import (
	"slices"

	"holdfast/actors/object"
)

// Pages of a list of versions. Nobody promises that a page is one moment, not even for one key: what is
// promised is that each version was there, or was not, at some moment of the page.

// bookVersions holds a page to what is known of each version in its range, and books in the histories what
// it says of them.
func (w *World) bookVersions(l *listing, more bool) {
	w.checkVersions(l, more)
	for key := range w.plan.keys {
		rows := l.rowsOf(nameOf(uint8(key)))
		whole := l.covers(key, more)
		var null *listed
		for i := range rows {
			p := &rows[i]
			if p.null {
				null = p
				continue
			}
			w.listedAt(key, l.began, call{want: p.value, ref: p.ref, value: p.value})
		}
		switch {
		case null != nil:
			w.listedAt(key, l.began, call{null: true, value: null.value})
		case whole:
			w.listedAt(key, l.began, call{null: true})
		}
		for i := range w.calls[key] {
			if k := &w.calls[key][i]; w.stood(key, k, l.began) && l.ranges(key, k.ref, more) && !shows(rows, k.ref) {
				name := k.value
				if k.kind == callComplete {
					name = k.want
				}
				w.listedAt(key, l.began, call{want: name, ref: k.ref})
			}
		}
	}
}

// listedAt books what a page says of one version, if the history has room.
func (w *World) listedAt(key int, began int64, k call) {
	if len(w.calls[key]) < maxCalls-12 {
		k.kind, k.invoke, k.ret = callListedAt, began, w.step
		w.calls[key] = append(w.calls[key], k)
	}
}

// rowsOf are a page's rows of one key.
func (l *listing) rowsOf(name string) []listed {
	from := slices.IndexFunc(l.page, func(p listed) bool { return p.name == name })
	if from < 0 {
		return nil
	}
	to := from
	for to < len(l.page) && l.page[to].name == name {
		to++
	}
	return l.page[from:to]
}

func shows(rows []listed, ref object.VersionRef) bool {
	return slices.ContainsFunc(rows, func(p listed) bool { return p.ref == ref })
}

// covers says whether a page speaks of all versions of a key.
func (l *listing) covers(key int, more bool) bool {
	name := nameOf(uint8(key))
	if name < l.start.Name || name == l.start.Name && l.start.Below != (object.VersionRef{}) {
		return false
	}
	return !more || name < l.page[len(l.page)-1].name
}

// ranges says whether a page speaks of a version that has an id of its own. A null version may be listed out of
// its order: where a page ends with one, or begins behind one, it says less.
func (l *listing) ranges(key int, ref object.VersionRef, more bool) bool {
	name := nameOf(uint8(key))
	switch below := l.start.Below; {
	case name < l.start.Name || name == l.start.Name && below != (object.VersionRef{}) && ref.Compare(below) >= 0:
		return false
	case !more:
		return true
	}
	last := &l.page[len(l.page)-1]
	return name < last.name || name == last.name && !last.null && ref.Compare(last.ref) >= 0
}

// stood says of a call that it made a version with an id of its own, and that its client knew so at a time.
func (w *World) stood(key int, k *call, at int64) bool {
	switch k.kind {
	case callPut, callPutIfAbsent, callPutIfMatch, callDelete, callDeleteIfMatch, callComplete:
		return k.ret < at && !k.refused && k.ref != object.VersionRef{}
	}
	return false
}

// checkVersions holds a page to I26: what it shows was written and is not known removed, in its order, each
// once; and what was acknowledged before it began, and nobody tried to remove, is there.
func (w *World) checkVersions(l *listing, more bool) {
	ok := len(l.page) <= l.limit && (!more || len(l.page) > 0)
	var before *listed
	for i := range l.page {
		p := &l.page[i]
		if ok = ok && p.name >= l.start.Name && (i == 0 || p.name >= l.page[i-1].name); i > 0 && p.name != l.page[i-1].name {
			before = nil
		}
		if !p.null {
			ok = ok && (before == nil || p.ref.Compare(before.ref) < 0)
			before = p
		}
		w.checkShown(l, p)
	}
	if !ok {
		w.fail("I26", "a page of versions from %+v, more %v, says %+v", l.start, more, l.page)
	}
	for key := range w.plan.keys {
		rows := l.rowsOf(nameOf(uint8(key)))
		for i := range w.calls[key] {
			k := &w.calls[key][i]
			if w.stood(key, k, l.began) && l.ranges(key, k.ref, more) && !shows(rows, k.ref) && !w.removed(key, k.ref, never, true) {
				w.fail("I26", "key %d: %v was acknowledged and is left out of a page of versions", key, k.ref)
			}
		}
	}
}

// checkShown holds one row of a page to its write.
func (w *World) checkShown(l *listing, p *listed) {
	key := int(nameNumber(p.name))
	known := false
	for i := range w.calls[key] {
		k := &w.calls[key][i]
		made := k.makes() && k.kind != 0 && k.value == p.value
		known = known || made && k.kind.deletes() == p.gone || k.kind == callUpload && k.value == p.value && !p.gone
	}
	switch {
	case !known:
		w.fail("I26", "key %d: a page of versions shows %+v, which nobody wrote", key, *p)
	case !p.null && w.removed(key, p.ref, l.began, false):
		w.fail("I26", "key %d: a page of versions shows %v, which was removed before", key, p.ref)
	}
}

// removed says whether a client removed a version by its id and was told so before a time, or, if tried, may
// have tried to.
func (w *World) removed(key int, ref object.VersionRef, before int64, tried bool) bool {
	return slices.ContainsFunc(w.calls[key], func(k call) bool {
		return k.kind == callPurge && !k.null && k.ref == ref && (tried || k.ret < before && !k.refused && !k.held)
	})
}
