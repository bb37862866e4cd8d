package journal

import (
	"fmt"

	"holdfast/actors/ondisk"
)

const (
	// keepBuffer is the largest buffer that is kept from record to record.
	keepBuffer = 1 << 20
	// maxFile is how far a file may grow when no other one could be prepared: locations have 32 bits.
	// Whoever opens a drive takes one of more than 1 GiB for none of ours.
	maxFile = 512 << 20
)

func (j *Journal) reset() {
	if cap(j.buf) > keepBuffer {
		j.buf = nil
	}
	if j.buf == nil {
		j.buf = make([]byte, ondisk.JournalHeaderSize, 64<<10)
	}
	j.buf = j.buf[:ondisk.JournalHeaderSize]
}

// Add puts a payload, made by ondisk.AppendPayload, into the record that the next Append will write,
// and returns where it will lie.
func (j *Journal) Add(payload []byte) ondisk.Location {
	at := ondisk.Location{File: j.cur.no, Offset: uint32(j.off) + uint32(len(j.buf)), Length: uint32(len(payload))}
	j.buf = append(j.buf, payload...)
	return at
}

// Append writes a record of a batch with what was added for it, and syncs it if sync. Batches are
// numbered without gaps. It returns how many bytes of rows and payloads were written. After an error
// the journal is of no use: what was written is not known.
func (j *Journal) Append(batch uint64, rows []byte, sync bool) (n int, err error) {
	f := j.cur
	h := ondisk.JournalHeader{
		Drive: j.tag, File: f.no, Batch: batch, Durable: j.durable, Nonce: f.nonce,
		Payloads: len(j.buf) - ondisk.JournalHeaderSize, Rows: len(rows),
	}
	j.buf = append(j.buf, rows...)
	ondisk.PutJournalHeader(j.buf, &h)
	n = len(j.buf)
	if n > ondisk.MaxJournalRecord-ondisk.JournalPage {
		return 0, fmt.Errorf("batch %d takes %d bytes of the journal, more than a reader takes for a record", batch, n)
	}
	if rest := n % ondisk.JournalPage; rest != 0 {
		j.buf = append(j.buf, make([]byte, ondisk.JournalPage-rest)...)
	}
	if _, err := f.write.WriteAt(j.buf, j.off); err != nil {
		return n, err
	}
	j.off += int64(len(j.buf))
	j.reset()
	j.wrote(f, batch)
	if sync {
		if err := j.Sync(); err != nil {
			return n, err
		}
	}
	return n, j.turn()
}

// wrote notes a record in the account of the current file.
func (j *Journal) wrote(f *file, batch uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f.last, f.log = batch, true
	f.size = max(f.size, j.off)
}

// Sync makes all records durable.
func (j *Journal) Sync() error {
	if err := j.cur.write.SyncData(); err != nil {
		return err
	}
	j.durable = j.off
	j.mu.Lock()
	defer j.mu.Unlock()
	j.safe = max(j.safe, j.cur.last)
	j.begun = j.off > ondisk.JournalPage
	return nil
}

// Probe syncs the current file from any goroutine: a drive that answers it lives.
func (j *Journal) Probe() error {
	j.mu.Lock()
	f := j.cur
	f.refs++
	j.mu.Unlock()
	defer j.release(f)
	return f.write.SyncData()
}

// turn goes on to the next file when the current one is full and the next is ready, and asks for that
// in good time. A file that is full meanwhile grows.
func (j *Journal) turn() error {
	f := j.cur
	if j.off < f.size/2 {
		return nil
	}
	if j.off+min(f.size/8, firstSize) < f.size {
		j.ask()
		return nil
	}
	var next *file
	select {
	case next = <-j.ready:
	default:
		if j.off >= maxFile { // numbers ascend with batches, so there is no file but the one that Run prepares
			return fmt.Errorf("journal file %d has %d bytes and no other could be made", f.no, j.off)
		}
		j.ask()
		return nil
	}
	if j.durable < j.off { // a record of the next file says that this one is whole
		if err := j.Sync(); err != nil {
			return err
		}
	}
	return j.use(next)
}

func (j *Journal) ask() {
	if len(j.ready) > 0 {
		return
	}
	select {
	case j.want <- struct{}{}:
	default:
	}
}

// use makes a prepared file the current one.
func (j *Journal) use(next *file) error {
	j.mu.Lock()
	old := j.cur
	if old != nil && next.prev != old.no { // a replay would miss old: better no record than one behind a gap
		j.mu.Unlock()
		return fmt.Errorf("%s names file %d as the one before it, and not %d", next.name, next.prev, old.no)
	}
	j.add(next)
	j.cur, j.begun = next, false
	j.off, j.durable = ondisk.JournalPage, ondisk.JournalPage
	var err error
	if old != nil {
		if old.sealed = true; old.refs == 0 {
			err = old.write.Close()
			old.write = nil
		}
	}
	j.mu.Unlock()
	return err
}

// Begin makes the file that the next records go to. All files that Open found are complete.
func (j *Journal) Begin() error {
	f, err := j.prepare(min(j.o.Size, firstSize))
	if err != nil {
		return err
	}
	return j.use(f)
}
