package journal

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"

	"holdfast/actors/ondisk"
)

// copyRoom is about what the rows of one payload take in a record, beside the payload: what moving it
// costs.
const copyRoom = 512

// SetLive says, after Replay and before Begin, what rows refer to in a file. It reports whether the file
// is there.
func (j *Journal) SetLive(no uint32, row ondisk.JournalRow) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.files[no]
	if f == nil {
		f = &file{no: no, name: j.path(no), missing: true}
		j.add(f)
		j.nextNo = max(j.nextNo, no+1)
	}
	j.setRow(f, row)
	return !f.missing
}

// Account adds what a batch makes live in a file, or takes it away, and returns the row to be written
// with that batch. With nothing live the row is to be removed.
func (j *Journal) Account(no uint32, batch uint64, bytes, payloads int64) ondisk.JournalRow {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.files[no]
	if f == nil {
		return ondisk.JournalRow{}
	}
	row := f.row
	row.Live += bytes
	row.Payloads += payloads
	if row.Live < 0 || row.Payloads < 0 {
		j.o.Log.Error("account of a journal file is below zero", "file", no, "live", row.Live, "payloads", row.Payloads)
		row.Live, row.Payloads = max(row.Live, 0), max(row.Payloads, 0)
	}
	if row.Payloads == 0 {
		row.Live, f.emptied = 0, batch
	}
	j.setRow(f, row)
	return row
}

// Flushed says that the index has all batches up to one in its tables.
func (j *Journal) Flushed(batch uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		if f != j.cur && f.last <= batch {
			f.log = false
		}
	}
}

// dead says whether nothing refers to a file any more. The one before the current is found by whoever opens
// the journal as long as the current one holds nothing. j.mu is held.
func (j *Journal) dead(f *file) bool {
	if !j.begun && (j.cur == nil || f.no == j.cur.prev) {
		return false
	}
	return f != j.cur && !f.log && f.row.Payloads == 0 && f.emptied <= j.safe && f.refs == 0 && f.write == nil
}

// takeDead takes a dead file that suits out of the journal, the lowest number first; nil if there is none.
func (j *Journal) takeDead(suits func(*file) bool) *file {
	j.mu.Lock()
	var old *file
	for _, f := range j.empty {
		if j.dead(f) && (old == nil || f.no < old.no) && suits(f) {
			old = f
		}
	}
	if old == nil {
		j.mu.Unlock()
		return nil
	}
	delete(j.files, old.no)
	delete(j.empty, old.no)
	handle := old.read
	if old.read = nil; handle != nil {
		j.opened--
	}
	j.mu.Unlock()
	if handle != nil {
		if err := handle.Close(); err != nil {
			j.o.Log.Warn("closing a file of the journal", "err", err)
		}
	}
	return old
}

// giveBack puts a file in again that takeDead took out.
func (j *Journal) giveBack(f *file) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(f)
}

// Sweep gives one dead file back to the file system. Unless all must go, one of full size stays for the
// next writer. It returns how many bytes the file had, and whether there was one.
func (j *Journal) Sweep(all bool) (bytes int64, more bool, err error) {
	kept := all
	old := j.takeDead(func(f *file) bool {
		if !kept && f.size >= j.o.Size && !f.missing {
			kept = true
			return false
		}
		return true
	})
	if old == nil || old.missing {
		return 0, old != nil, nil
	}
	if err := j.o.FS.Remove(old.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.giveBack(old)
		return 0, true, err
	}
	return old.size, true, nil
}

// fadingPart is the part of a file's payloads, 1/n, that is lost from one Tick to the next in a file that
// is fading.
const fadingPart = 8

// Tick is called once a second or so. A file that has lost an eighth of its live payloads since the last
// Tick is fading: at that pace it is dead before long, and whatever is moved out of it dies at its new
// place. Rosenblum and Ousterhout (1992) weigh a segment's age for the same reason.
func (j *Journal) Tick() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		f.fading = (f.before-f.row.Payloads)*fadingPart > f.before
		f.before = f.row.Payloads
	}
}

// Sparse returns the file whose live payloads would take the least part of it if they were moved, if
// that is below percent of its bytes. Files that are fading are left to themselves, unless hurry is set.
func (j *Journal) Sparse(percent int64, hurry bool) (no uint32, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	best := float64(percent) / 100
	for _, f := range j.files {
		if f == j.cur || f.log || f.missing || f.stuck || f.row.Payloads == 0 || f.size == 0 || f.fading && !hurry {
			continue
		}
		if part := float64(f.row.Live+copyRoom*f.row.Payloads) / float64(f.size); part < best {
			best, no, ok = part, f.no, true
		}
	}
	return no, ok
}

// FileInfo is one file of the journal.
type FileInfo struct {
	Number  uint32
	Size    int64 // bytes
	Row     ondisk.JournalRow
	Log     bool // the index may not have flushed all of its batches
	Missing bool // rows refer to it, and it is not there
}

// Files lists the files that are there or that rows refer to, in ascending order.
func (j *Journal) Files() []FileInfo {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]FileInfo, 0, len(j.files))
	for _, f := range j.files {
		out = append(out, FileInfo{Number: f.no, Size: f.size, Row: f.row, Log: f.log, Missing: f.missing})
	}
	slices.SortFunc(out, func(x, y FileInfo) int { return cmp.Compare(x.Number, y.Number) })
	return out
}

// Stuck says that what is live in a file cannot be moved: Sparse passes it over from then on.
func (j *Journal) Stuck(no uint32) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f := j.files[no]; f != nil {
		f.stuck = true
	}
}
