package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

const (
	firstSize = 256 << 10 // bytes of the file that Begin makes, which must not take time
	growth    = 4         // so many times larger is the next file, up to Options.Size
	maxOpen   = 128       // files that are open for reading
	suffix    = ".log"
	unready   = ".new" // behind the name of a file that is being prepared
)

// Options says how a journal is opened. FS, Dir and Drive are needed.
type Options struct {
	FS    vfs.FS // guarded: an error of a write or a sync fails the drive
	Dir   string // its directory, which must be there
	End   string // outside of Dir: the file that says where the journal ends, made by Create
	Drive cluster.DriveID
	Size  int64 // bytes of a file once the journal is in steady use; a multiple of ondisk.JournalPage
	// ReadOnly leaves everything as it is: nothing is synced after Replay, and Begin is not called.
	ReadOnly bool
	Log      *slog.Logger
	// Behind is called when the files that are needed as log have more than MaxLog bytes: the index
	// should flush. It must not block.
	Behind func()
	MaxLog int64
	// Change makes one call past the file system below FS under its guard (guardfs.Health.Change); nil:
	// no such calls are made.
	Change func(op, name string, harmless func(error) bool, call func() error) error
}

// Journal is an open journal.
type Journal struct {
	o   Options
	tag uint32

	want  chan struct{} // capacity 1: Run is to prepare a file
	ready chan *file    // capacity 1: prepared, not yet in use
	half  *file         // made, but not announced yet; owned by who prepares files, Begin and then Run

	announcing sync.Mutex
	end        ondisk.JournalEnd // guarded by announcing: what Options.End says
	endErr     error             // why it could not be read, nil once it was written

	// Owned by the writer.
	off     int64  // end of the current file's records
	durable int64  // of these so many bytes were synced
	buf     []byte // the next record so far: room for its header, and payloads

	mu     sync.Mutex
	files  map[uint32]*file // guarded by mu
	empty  map[uint32]*file // guarded by mu: those without live payloads
	cur    *file            // guarded by mu, changed by the writer alone
	begun  bool             // guarded by mu: a record of cur is durable
	tail   uint32           // guarded by mu: the last file prepared, which the next one names; cur may be the one before
	safe   uint64           // guarded by mu: the last durable batch
	nextNo uint32           // guarded by mu
	opened int              // guarded by mu: files open for reading
	tick   uint64           // guarded by mu: counts reads, for the choice of the file to close
}

// file is one file of the journal.
type file struct {
	no    uint32
	name  string
	prev  uint32     // the file before, of one that is written to; 0: none is needed
	nonce uint64     // of its records, of one that is written to
	open  sync.Mutex // held while the file is opened for reading

	// Guarded by Journal.mu.
	size    int64 // bytes
	last    uint64
	log     bool // the index may not have flushed all of its batches
	missing bool // rows refer to it, and it is not there
	stuck   bool // Walk has met payloads that cannot be moved
	row     ondisk.JournalRow
	before  int64    // payloads at the last Tick
	fading  bool     // see Tick
	emptied uint64   // batch that left nothing live
	refs    int      // calls that use a handle
	read    vfs.File // nil: not open
	used    uint64   // tick of the last read
	write   vfs.File // nil: not open
	sealed  bool     // write is to be closed by the last user
}

// Open lists the files of a journal. Replay, Account for what is live, and Begin follow, in this order.
func Open(o Options) (*Journal, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	j := &Journal{
		o: o, tag: ondisk.DriveTag(o.Drive), files: make(map[uint32]*file), empty: make(map[uint32]*file), nextNo: 1,
		want: make(chan struct{}, 1), ready: make(chan *file, 1),
	}
	j.reset()
	j.end, j.endErr = readEnd(&o)
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		no, ok := parseName(name)
		if !ok {
			if strings.HasSuffix(name, unready) && !o.ReadOnly {
				if err := o.FS.Remove(path.Join(o.Dir, name)); err != nil {
					return nil, err
				}
			}
			continue
		}
		info, err := o.FS.Stat(path.Join(o.Dir, name))
		if err != nil {
			return nil, err
		}
		j.add(&file{no: no, name: j.path(no), size: info.Size()})
		j.nextNo = max(j.nextNo, no+1)
	}
	return j, nil
}

func fileName(no uint32) string { return fmt.Sprintf("%08d%s", no, suffix) }

func (j *Journal) path(no uint32) string { return path.Join(j.o.Dir, fileName(no)) }

// parseName returns the number of a journal file.
func parseName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < 8 {
		return 0, false
	}
	no, err := strconv.ParseUint(digits, 10, 32)
	return uint32(no), err == nil && no > 0 && fileName(uint32(no)) == name
}

// add takes a file in, nothing of which is live yet. j.mu is held, or nobody else knows the journal.
func (j *Journal) add(f *file) { j.files[f.no], j.empty[f.no] = f, f }

// setRow notes what is live in a file. j.mu is held.
func (j *Journal) setRow(f *file, row ondisk.JournalRow) {
	if f.row = row; row.Payloads == 0 {
		j.empty[f.no] = f
	} else {
		delete(j.empty, f.no)
	}
}

// numbers lists the files that are there, in ascending order.
func (j *Journal) numbers() []uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]uint32, 0, len(j.files))
	for no, f := range j.files {
		if !f.missing {
			out = append(out, no)
		}
	}
	slices.Sort(out)
	return out
}

// Close closes all files. Nobody uses the journal any more.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case f := <-j.ready:
		j.add(f)
	default:
	}
	if j.half != nil {
		j.add(j.half)
	}
	var err error
	for _, f := range j.files {
		for _, h := range []*vfs.File{&f.read, &f.write} {
			if *h != nil {
				err = errors.Join(err, (*h).Close())
				*h = nil
			}
		}
	}
	return err
}

// Stats is what a journal takes and holds.
type Stats struct {
	Files    int
	Bytes    int64 // of all files
	Log      int64 // of those that are needed as log
	Live     int64 // of payloads that rows refer to, headers included
	Payloads int64
}

// Stats counts.
func (j *Journal) Stats() (s Stats) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		s.Files++
		s.Bytes += f.size
		s.Live += f.row.Live
		s.Payloads += f.row.Payloads
		if f.log {
			s.Log += f.size
		}
	}
	return s
}
