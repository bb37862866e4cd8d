package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
)

// Record is one record of a file.
type Record struct {
	ondisk.JournalHeader
	Offset int64
	Rows   []byte // valid until the next record is read
	whole  []byte // all but the padding
}

// Damaged checks the record's payloads and returns what is wrong with the first that is damaged.
func (r *Record) Damaged() error { return ondisk.VerifyPayloads(r.whole, &r.JournalHeader) }

// torn says whether the payloads were not written to their end. A single bit that is wrong is rot: of one
// shard, in a record that is whole.
func (r *Record) torn() error {
	err := r.Damaged()
	if err != nil && ondisk.MendPayloads(bytes.Clone(r.whole), &r.JournalHeader) {
		return nil
	}
	return err
}

// reader reads records of one file.
type reader struct {
	j    *Journal
	no   uint32
	f    vfs.File
	size int64
	head ondisk.JournalFile
	buf  []byte
	scan []byte // of find
}

// errNone says that there is no record at a place: zeros, or what another file left there.
var errNone = errors.New("no record")

// at reads the record at off. One bit of it may be wrong: that is set right, in memory. errNone,
// ondisk.ErrCorrupt, or ErrNewer.
func (r *reader) at(off int64) (*Record, error) {
	if off+ondisk.JournalHeaderSize > r.size {
		return nil, errNone
	}
	head := make([]byte, ondisk.JournalHeaderSize)
	if err := r.read(head, off); err != nil {
		return nil, err
	}
	if !ondisk.IsNearJournalHeader(head, r.j.tag, r.no, r.head.Nonce) {
		return nil, errNone
	}
	rec, err := r.record(head, off)
	if err == nil || !errors.Is(err, errNone) && !errors.Is(err, ondisk.ErrCorrupt) {
		return rec, err
	}
	if errors.Is(err, ondisk.ErrCorrupt) && ondisk.MendJournalRecord(r.buf) {
		return r.mended(off)
	}
	for range ondisk.JournalHeaderFlips(head) {
		if _, err := r.record(head, off); err == nil {
			return r.mended(off)
		}
	}
	return nil, err
}

// record reads the record that a header at off describes.
func (r *reader) record(head []byte, off int64) (*Record, error) {
	r.buf = r.buf[:0]
	h, err := ondisk.ParseJournalHeader(head)
	if err != nil || h.Drive != r.j.tag || h.File != r.no || h.Nonce != r.head.Nonce || h.Durable > off {
		return nil, errNone
	}
	n := ondisk.JournalHeaderSize + h.Payloads + h.Rows
	if off+int64(n) > r.size {
		return nil, fmt.Errorf("%w: journal record of %d bytes at %d of %d", ondisk.ErrCorrupt, n, off, r.size)
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	if err := r.read(r.buf[:n], off); err != nil {
		return nil, err
	}
	r.buf = r.buf[:n]
	copy(r.buf, head)
	return r.verified(off)
}

func (r *reader) verified(off int64) (*Record, error) {
	h, rows, err := ondisk.JournalRows(r.buf)
	if err != nil {
		return nil, err
	}
	return &Record{JournalHeader: h, Offset: off, Rows: rows, whole: r.buf}, nil
}

// mended returns the record in buf, of which one bit was wrong on the medium.
func (r *reader) mended(off int64) (*Record, error) {
	rec, err := r.verified(off)
	if err == nil {
		r.j.o.Log.Error("a bit of the journal has rotted and was set right", "file", r.no, "offset", off, "batch", rec.Batch)
	}
	return rec, err
}

func (r *reader) read(b []byte, off int64) error {
	if _, err := r.f.ReadAt(b, off); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: %w", ondisk.ErrCorrupt, err)
		}
		return err
	}
	return nil
}

// findStep is how much find reads at a time.
const findStep = 256 << 10

// find returns the first record at or behind off, a multiple of a page, nil if there is none.
func (r *reader) find(off int64) (*Record, error) {
	rec, err := r.at(off)
	if err == nil || !errors.Is(err, errNone) && !errors.Is(err, ondisk.ErrCorrupt) {
		return rec, err
	}
	for off += ondisk.JournalPage; off+ondisk.JournalHeaderSize <= r.size; off += findStep {
		if r.scan == nil {
			r.scan = make([]byte, findStep)
		}
		b := r.scan[:min(findStep, r.size-off)]
		if err := r.read(b, off); err != nil {
			return nil, err
		}
		for at := 0; at+ondisk.JournalHeaderSize <= len(b); at += ondisk.JournalPage {
			if !ondisk.IsNearJournalHeader(b[at:], r.j.tag, r.no, r.head.Nonce) {
				continue
			}
			rec, err := r.at(off + int64(at))
			if err == nil || !errors.Is(err, errNone) && !errors.Is(err, ondisk.ErrCorrupt) {
				return rec, err
			}
		}
	}
	return nil, nil
}

// with calls f with a reader of a file.
func (j *Journal) with(no uint32, f func(*reader) error) error {
	file, err := j.acquire(no)
	if err != nil {
		return err
	}
	defer j.release(file)
	j.mu.Lock()
	r := &reader{j: j, no: no, f: file.read, size: file.size}
	j.mu.Unlock()
	if err = r.firstPage(); err == nil {
		err = f(r)
	}
	if err != nil {
		return fmt.Errorf("journal file %d: %w", no, err)
	}
	return nil
}

// firstPage reads what the file says of itself. ondisk.ErrCorrupt: it is damaged, or not this file; ErrCut.
func (r *reader) firstPage() error {
	b := make([]byte, ondisk.JournalPage)
	if err := r.read(b, 0); err != nil {
		return err
	}
	head, err := ondisk.DecodeJournalFile(b)
	if errors.Is(err, ondisk.ErrCorrupt) && ondisk.MendSum64(b) {
		if head, err = ondisk.DecodeJournalFile(b); err == nil {
			r.j.o.Log.Error("a bit of the journal has rotted and was set right", "file", r.no, "offset", 0)
		}
	}
	switch {
	case err != nil:
		return err
	case head.Drive != r.j.o.Drive || head.File != r.no:
		return fmt.Errorf("%w: it is file %d of drive %s", ondisk.ErrCorrupt, head.File, head.Drive)
	case r.size < head.Size:
		return fmt.Errorf("%w: %d bytes are left of %d", ErrCut, r.size, head.Size)
	}
	r.head = head
	return nil
}

// Walk calls f for each record of a file that begins at or behind from, in order, passing over what is
// damaged, and returns how many pages were passed over between records.
func (j *Journal) Walk(no uint32, from int64, f func(*Record) error) (skipped int64, err error) {
	err = j.with(no, func(r *reader) error {
		for off := max(from, ondisk.JournalPage); ; {
			rec, err := r.find(off)
			if rec == nil || err != nil {
				return err
			}
			skipped += (rec.Offset - off) / ondisk.JournalPage
			off = rec.Offset + rec.Size()
			if err := f(rec); err != nil {
				return err
			}
		}
	})
	return skipped, err
}

// Replay calls apply for the rows of every batch above flushed, in order, and returns the number of the
// last one. A record that was being written when the drive stopped ends it; one that is damaged although
// it was durable is an error, and so are batches that are missing (ErrGap), or the file that they were in.
// rows is valid during the call.
func (j *Journal) Replay(flushed uint64, apply func(batch uint64, rows []byte) error) (last uint64, err error) {
	end := j.End()
	if j.endErr != nil {
		return 0, j.endErr
	}
	list, err := j.needed(flushed, &end)
	if err != nil {
		return 0, err
	}
	last = flushed
	for i, n := range list {
		limit := uint64(math.MaxUint64)
		for _, later := range list[i+1:] {
			if later.first != 0 {
				limit = later.first
				break
			}
		}
		if last, err = j.replayFile(n.no, last, limit, apply); err != nil {
			return last, err
		}
		if limit != math.MaxUint64 && last+1 < limit {
			return last, fmt.Errorf("%w: %d to %d, in journal file %d or behind it", ErrGap, last+1, limit-1, n.no)
		}
	}
	if last < end.Batch {
		return last, fmt.Errorf("%w: %d to %d, in journal file %d or behind it", ErrGap, last+1, end.Batch, end.File)
	}
	j.Flushed(flushed)
	if j.o.ReadOnly {
		return last, nil
	}
	// The process may have stopped where the machine did not: what was read need not be on the medium,
	// and what is built on it must not outlive it.
	for _, n := range list {
		if err := j.syncFile(n.no); err != nil {
			return last, err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.safe = last
	for _, n := range list {
		if last > flushed && j.files[n.no].last > 0 {
			j.tail = n.no
		}
	}
	return last, nil
}

// needed is a file that Replay reads.
type needed struct {
	no    uint32
	first uint64 // its first batch, 0 if there is none to be seen
	prev  uint32
}

// needed finds the files with batches above flushed: from the newest one back to the one that begins at
// or below them. Each names the one before it.
func (j *Journal) needed(flushed uint64, end *ondisk.JournalEnd) (list []needed, err error) {
	var newest uint32
	if numbers := j.numbers(); len(numbers) > 0 {
		newest = numbers[len(numbers)-1]
	}
	if newest <= end.File && end.Sealed && end.Batch <= flushed {
		return nil, nil
	}
	if newest < end.File {
		return nil, fmt.Errorf("%w: file %s, the newest, is missing", ErrGap, fileName(end.File))
	}
	for no := newest; no != 0; {
		n, err := j.lookAt(no)
		if err != nil {
			return nil, err
		}
		list = append([]needed{n}, list...)
		if n.first != 0 && n.first <= flushed+1 {
			return list, nil
		}
		if no = n.prev; no != 0 && !j.has(no) {
			return nil, fmt.Errorf("%w: file %s, before %s, is missing", ErrGap, fileName(no), fileName(n.no))
		}
	}
	for _, n := range list {
		if n.first != 0 {
			return nil, fmt.Errorf("%w: %d to %d, before journal file %d", ErrGap, flushed+1, n.first-1, n.no)
		}
	}
	return list, nil
}

func (j *Journal) has(no uint32) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.files[no] != nil
}

// lookAt reads the beginning of a file.
func (j *Journal) lookAt(no uint32) (n needed, err error) {
	err = j.with(no, func(r *reader) error {
		n = needed{no: no, prev: r.head.Prev}
		rec, err := r.at(ondisk.JournalPage)
		if err == nil {
			n.first = rec.Batch
			if len(rec.Rows) == 0 { // a seal, of what lies in the file before
				n.first++
			}
		}
		if errors.Is(err, errNone) || errors.Is(err, ondisk.ErrCorrupt) {
			return nil
		}
		return err
	})
	return n, err
}

// replayFile applies what a file has of the batches behind last and below limit.
func (j *Journal) replayFile(no uint32, last, limit uint64, apply func(uint64, []byte) error) (uint64, error) {
	err := j.with(no, func(r *reader) error {
		durable := int64(math.MaxInt64) // the next file's records say that this one was whole
		if limit == math.MaxUint64 {
			var err error
			if durable, err = r.durable(); err != nil {
				return err
			}
		}
		for off := int64(ondisk.JournalPage); last+1 < limit; {
			rec, err := r.at(off)
			if err == nil && off >= durable {
				err = rec.torn() // nobody was told that it is durable, and it may be half there
			}
			switch {
			case errors.Is(err, errNone), errors.Is(err, ondisk.ErrCorrupt):
				next, ferr := r.find(off + ondisk.JournalPage)
				if ferr != nil {
					return ferr
				}
				if next != nil && next.Batch <= last+1 {
					off = next.Offset // the index had flushed what is damaged
					continue
				}
				if limit == math.MaxUint64 && off < durable {
					return fmt.Errorf("record at %d, behind batch %d, was durable and is damaged: %w", off, last, ondisk.ErrCorrupt)
				}
				return nil // torn, or the end; a gap is seen by whoever goes on
			case err != nil:
				return err
			case rec.Batch >= limit:
				return nil // of before a stop, never durable; the next file has it anew
			case len(rec.Rows) == 0 && rec.Batch > last: // a seal
				return fmt.Errorf("%w: %d to %d, before the end at %d", ErrGap, last+1, rec.Batch, off)
			case rec.Batch > last+1:
				return fmt.Errorf("%w: %d to %d, before the record at %d", ErrGap, last+1, rec.Batch-1, off)
			case rec.Batch == last+1:
				if err := apply(rec.Batch, rec.Rows); err != nil {
					return fmt.Errorf("batch %d: %w", rec.Batch, err)
				}
				last = rec.Batch
			}
			j.mu.Lock()
			f := j.files[no]
			f.last, f.log = rec.Batch, true
			j.mu.Unlock()
			off += rec.Size()
		}
		return nil
	})
	return last, err
}

// durable is how much of the file its records say to have been durable: the newest says it best, but
// it need not be readable.
func (r *reader) durable() (n int64, err error) {
	for off := int64(ondisk.JournalPage); ; {
		rec, err := r.find(off)
		if rec == nil || err != nil {
			return n, err
		}
		n = max(n, rec.Durable)
		off = rec.Offset + rec.Size()
	}
}

func (j *Journal) syncFile(no uint32) error {
	w, err := j.o.FS.OpenReadWrite(j.path(no), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(w.SyncData(), w.Close())
}
