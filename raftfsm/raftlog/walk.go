package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
)

// A bbolt file, as far as it is used here. Integers have the byte order of the machine.
//
//	file    pages of 4096 bytes: 0 and 1 are metas; the newest meta names the root and the freelist
//	page    id 8 | flags 2 | count 2 | overflow 4 | elements | keys and values, packed | rest of 1+overflow pages
//	meta    page header | magic 4 | version 4 | page size 4 | 0 4 | root 8 | 0 8 | freelist 8 | end 8 | transaction 8 | FNV-1a of these 8
//	leaf    elements: 1 = bucket 4 | place 4 | key size 4 | value size 4
//	branch  elements: place 4 | key size 4 | page 8; the key is the first one below that page
//	free    page numbers 8 each; with count 0xffff the first is how many follow
//	bucket  value in the root leaf: root 8 | 0 8; with root 0 a leaf page without padding follows
//
// A place is counted from the beginning of its element.
const (
	pageSize    = 4096
	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16
	metaSize    = 64

	branchFlag   = 0x01
	leafFlag     = 0x02
	metaFlag     = 0x04
	freelistFlag = 0x10
	bucketFlag   = 1 // of an element

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	// maxDepth is far above what any log needs: a branch page has room for more than a hundred elements.
	maxDepth = 16
)

// item is one key with its value; both alias the file that was read.
type item struct{ key, value []byte }

// walker verifies the structure of a whole bbolt file in memory. bbolt has checksums on its meta
// pages only, so everything else must be exactly as bbolt writes it: packed without a gap, in order,
// and every page either in the tree or in the freelist, never in both or in none. That leaves a
// flipped bit no place but keys and values, which carry seals, and bytes that nobody reads.
type walker struct {
	b    []byte
	end  uint64 // pages from here on are not in use
	seen []bool // pages that were accounted for
}

// meta is one of the two meta pages.
type meta struct{ root, freelist, end, txid uint64 }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// walk returns what the two buckets of a raft-boltdb file hold, in the order of the keys.
func walk(b []byte) (conf, logs []item, err error) {
	if len(b) < 4*pageSize || len(b)%pageSize != 0 {
		return nil, nil, damaged("file of %d bytes", len(b))
	}
	m, err := newestMeta(b)
	if err != nil {
		return nil, nil, err
	}
	if m.end < 4 || m.end > uint64(len(b)/pageSize) {
		return nil, nil, damaged("%d pages in use, the file has %d", m.end, len(b)/pageSize)
	}
	w := &walker{b: b, end: m.end, seen: make([]bool, m.end)}
	w.seen[0], w.seen[1] = true, true
	if err := w.freelist(m.freelist); err != nil {
		return nil, nil, err
	}
	if conf, logs, err = w.buckets(m.root); err != nil {
		return nil, nil, err
	}
	for id, ok := range w.seen {
		if !ok {
			return nil, nil, damaged("page %d is neither used nor free", id)
		}
	}
	return conf, logs, nil
}

// newestMeta demands both meta pages, although one would do. A meta is 80 bytes at the start of its
// page, which no drive with sectors of 512 bytes tears, and it is written after everything it refers
// to was synced; so at any moment of a crash both are whole, and one that is not was damaged.
func newestMeta(b []byte) (meta, error) {
	var all [2]meta
	for i := range all {
		var err error
		if all[i], err = readMeta(b[i*pageSize:(i+1)*pageSize], uint64(i)); err != nil {
			return meta{}, err
		}
	}
	old, newest := all[0], all[1]
	if old.txid > newest.txid {
		old, newest = newest, old
	}
	if newest.txid != old.txid+1 {
		return meta{}, damaged("metas of the transactions %d and %d", old.txid, newest.txid)
	}
	return newest, nil
}

func readMeta(b []byte, slot uint64) (m meta, err error) {
	if u64(b) != slot || u16(b[8:]) != metaFlag || u16(b[10:]) != 0 || u32(b[12:]) != 0 {
		return m, damaged("header of meta page %d", slot)
	}
	b = b[pageHeader : pageHeader+metaSize]
	h := fnv.New64a()
	h.Write(b[:metaSize-8])
	if u32(b) != boltMagic || h.Sum64() != u64(b[metaSize-8:]) {
		return m, damaged("checksum of meta page %d", slot)
	}
	if v := u32(b[4:]); v != boltVersion {
		return m, fmt.Errorf("%w: bbolt's version %d, known is %d", ErrVersion, v, boltVersion)
	}
	m = meta{root: u64(b[16:]), freelist: u64(b[32:]), end: u64(b[40:]), txid: u64(b[48:])}
	if u32(b[8:]) != pageSize || u32(b[12:]) != 0 || u64(b[24:]) != 0 || m.txid%2 != slot {
		return m, damaged("meta page %d", slot)
	}
	return m, nil
}

// page is a page with those it overflows into.
type page struct {
	id    uint64
	count int
	body  []byte // header included
}

// page looks at a page for the first and only time.
func (w *walker) page(id uint64) (p page, flags uint16, err error) {
	if id < 2 || id >= w.end {
		return p, 0, damaged("page %d of %d", id, w.end)
	}
	h := w.b[id*pageSize:]
	n := uint64(u32(h[12:])) + 1
	if u64(h) != id || n > w.end-id {
		return p, 0, damaged("header of page %d", id)
	}
	for i := id; i < id+n; i++ {
		if err := w.account(i); err != nil {
			return p, 0, err
		}
	}
	return page{id, int(u16(h[10:])), h[:n*pageSize]}, u16(h[8:]), nil
}

func (w *walker) account(id uint64) error {
	if w.seen[id] {
		return damaged("page %d is there twice", id)
	}
	w.seen[id] = true
	return nil
}

func (w *walker) freelist(id uint64) error {
	p, flags, err := w.page(id)
	if err != nil {
		return err
	}
	n, ids := uint64(p.count), p.body[pageHeader:]
	if n == math.MaxUint16 {
		n, ids = u64(ids), ids[8:]
	}
	if flags != freelistFlag || n > uint64(len(ids)/8) {
		return damaged("freelist in page %d", id)
	}
	last := uint64(1)
	for ; n > 0; n, ids = n-1, ids[8:] {
		free := u64(ids)
		if free <= last || free >= w.end {
			return damaged("freelist in page %d: page %d after %d", id, free, last)
		}
		if err := w.account(free); err != nil {
			return err
		}
		last = free
	}
	return nil
}

// buckets reads the root: one leaf that names the two buckets of raft-boltdb.
func (w *walker) buckets(root uint64) (conf, logs []item, err error) {
	p, flags, err := w.page(root)
	if err != nil {
		return nil, nil, err
	}
	var in []item
	if flags != leafFlag || p.count != 2 {
		return nil, nil, damaged("root in page %d", root)
	}
	if in, err = leaf(p, bucketFlag, nil); err != nil {
		return nil, nil, err
	}
	if string(in[0].key) != "conf" || string(in[1].key) != "logs" {
		return nil, nil, damaged("buckets are %q and %q", in[0].key, in[1].key)
	}
	if conf, err = w.bucket(in[0].value); err != nil {
		return nil, nil, fmt.Errorf("bucket conf: %w", err)
	}
	if logs, err = w.bucket(in[1].value); err != nil {
		return nil, nil, fmt.Errorf("bucket logs: %w", err)
	}
	return conf, logs, nil
}

func (w *walker) bucket(v []byte) ([]item, error) {
	if len(v) < bucketSize || u64(v[8:]) != 0 {
		return nil, damaged("header")
	}
	root, inline := u64(v), v[bucketSize:]
	if root != 0 {
		if len(inline) != 0 {
			return nil, damaged("%d bytes behind the header", len(inline))
		}
		return w.tree(nil, root, nil, 0)
	}
	if len(inline) < pageHeader || u64(inline) != 0 || u16(inline[8:]) != leafFlag || u32(inline[12:]) != 0 {
		return nil, damaged("header of the inline page")
	}
	return leaf(page{0, int(u16(inline[10:])), inline}, 0, nil)
}

// tree appends what lies below a page. first is the key by which the page above knows it, nil for a
// root: bbolt finds a page in its parent by the page's first key, so they must be equal.
func (w *walker) tree(all []item, id uint64, first []byte, depth int) ([]item, error) {
	p, flags, err := w.page(id)
	if err != nil {
		return nil, err
	}
	if depth > maxDepth || p.count == 0 {
		return nil, damaged("page %d: %d elements at depth %d", id, p.count, depth)
	}
	switch flags {
	case leafFlag:
		in, err := leaf(p, 0, first)
		if err == nil && len(all) > 0 && bytes.Compare(all[len(all)-1].key, in[0].key) >= 0 {
			err = damaged("page %d: keys are not in order", id)
		}
		return append(all, in...), err
	case branchFlag:
		return w.branch(all, p, first, depth)
	}
	return nil, damaged("page %d: flags %#x", id, flags)
}

func (w *walker) branch(all []item, p page, first []byte, depth int) (_ []item, err error) {
	data := newPacked(p)
	for i := range p.count {
		e, err := data.element(i)
		if err != nil {
			return nil, err
		}
		key, err := data.next(i, u32(e), u32(e[4:]))
		if err != nil {
			return nil, err
		}
		if i == 0 && first != nil && !bytes.Equal(key, first) || len(key) == 0 {
			return nil, damaged("page %d: first key", p.id)
		}
		if all, err = w.tree(all, u64(e[8:]), key, depth+1); err != nil {
			return nil, err
		}
	}
	return all, data.done()
}

// leaf returns the elements of a leaf page, all of which must have the given flags.
func leaf(p page, flags uint32, first []byte) ([]item, error) {
	data := newPacked(p)
	var all []item
	for i := range p.count {
		e, err := data.element(i)
		if err != nil {
			return nil, err
		}
		var it item
		if it.key, err = data.next(i, u32(e[4:]), u32(e[8:])); err == nil {
			it.value, err = data.next(-1, 0, u32(e[12:]))
		}
		if err != nil {
			return nil, err
		}
		switch {
		case u32(e) != flags || len(it.key) == 0,
			i == 0 && first != nil && !bytes.Equal(it.key, first),
			i > 0 && bytes.Compare(all[i-1].key, it.key) >= 0:
			return nil, damaged("page %d: element %d", p.id, i)
		}
		all = append(all, it)
	}
	return all, data.done()
}

// packed takes a page's keys and values in the order in which bbolt puts them, without a gap. If the
// count were wrong the first place would be, too.
type packed struct {
	p   page
	off uint64
}

func newPacked(p page) *packed { return &packed{p, pageHeader + uint64(p.count)*elementSize} }

func (d *packed) element(i int) ([]byte, error) {
	if d.off > uint64(len(d.p.body)) {
		return nil, damaged("page %d: %d elements", d.p.id, d.p.count)
	}
	return d.p.body[pageHeader+i*elementSize:][:elementSize], nil
}

// next takes size bytes; the element's place must point there, unless the element is -1.
func (d *packed) next(element int, place, size uint32) ([]byte, error) {
	if element >= 0 && pageHeader+uint64(element)*elementSize+uint64(place) != d.off ||
		uint64(size) > uint64(len(d.p.body))-d.off {
		return nil, damaged("page %d: %d bytes at %d", d.p.id, size, d.off)
	}
	b := d.p.body[d.off : d.off+uint64(size) : d.off+uint64(size)]
	d.off += uint64(size)
	return b, nil
}

// done checks that the page is not longer than its content: an inline page ends with it, others fill
// up their last 4096 bytes.
func (d *packed) done() error {
	want := d.off
	if d.p.id != 0 {
		want = (d.off + pageSize - 1) / pageSize * pageSize
	}
	if want != uint64(len(d.p.body)) {
		return damaged("page %d: %d bytes for %d", d.p.id, len(d.p.body), d.off)
	}
	return nil
}

func u16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }
