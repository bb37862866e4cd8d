package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// Options says what a store is made of. FS, Dir, SegmentSize, Limit, Health and Log are needed.
type Options struct {
	// FS holds Dir. Calls on one file must be allowed to run at the same time (guardfs.Checked).
	FS    vfs.FS
	Dir   string
	Drive cluster.DriveID

	SegmentSize int64 // as chosen when the drive was formatted (SizeFor)
	Limit       int   // number of segment files there may be
	// Reserve is how many of them are kept for compaction: new data gets ErrNoSpace. 0 is 2.
	Reserve int
	// Pool is how many emptied files are kept for the next writer; more are removed. As much again may
	// rest as free units of files in use (Store.Age). 0 is 1 % of Limit, at least 2.
	Pool int
	// Tight reports whether the file system is so full that the drive refuses new data: then less
	// is enough to make compaction worth it. nil is never. It is called by Compact only.
	Tight func() bool
	// Pace is shared with other drives of the device. nil is one of its own.
	Pace *Pace
	// OpenFiles bounds the descriptors kept without a user. 0 is 128.
	OpenFiles int

	// Rows are the S rows as the index has them.
	Rows   map[uint32]ondisk.SegmentRow
	Health *guardfs.Health
	Log    *slog.Logger
}

// Store owns the segment files of one drive.
type Store struct {
	fs     vfs.FS
	dir    string
	drive  cluster.DriveID
	tag    uint32 // of drive, in every frame
	size   int64
	units  int
	o      Options
	health *guardfs.Health
	log    *slog.Logger

	files  *files
	bufs   sync.Pool      // *[]byte of batchSize, empty
	blocks sync.Pool      // *[]byte of ondisk.BlockSize
	syncs  sync.WaitGroup // running sync rounds
	punch  puncher
	turns  chan struct{} // one per running write past the page cache; capacity directWrites
	single chan struct{} // held by the only such write while small objects are synced; capacity 1
	pace   *Pace         // of the device
	direct atomic.Bool   // the file system takes writes past the page cache, as far as is known

	// growing is held while a segment is made ready for use or preallocated: rare, slow, and of no
	// concern to commits and readers. It is taken before mu.
	growing sync.Mutex

	mu       sync.Mutex
	segs     map[uint32]*seg // guarded by mu: every segment with a file or a row
	free     []uint32        // guarded by mu: emptied files, the next one to be used last
	leaving  *seg            // guarded by mu: emptied file that Trim is giving back, in none of the lists
	cut      int64           // guarded by mu: what it has left begins below
	born     int             // guarded by mu: number of files, those being made included
	pack     [2]*seg         // guarded by mu: where shards are packed now, by writer class; nil if none
	partial  map[uint32]*seg // guarded by mu: pack segments with room that nobody packs into
	roomy    map[uint32]*seg // guarded by mu: run segments with free units
	loose    map[uint32]*seg // guarded by mu: roomy ones whose free units may still take space
	lowest   uint32          // guarded by mu: every number below it has a file or a row
	lastRun  *seg            // guarded by mu: run segment that a unit was last taken from
	epoch    uint64          // guarded by mu: grows with each release of space
	guards   map[uint64]int  // guarded by mu: readers that are looking up rows, by epoch
	freeing  map[*seg]bool   // guarded by mu: segments with space that awaits readers
	reserved int64           // guarded by mu: bytes taken by writers that have not committed
	noAlloc  bool            // guarded by mu: the file system cannot preallocate
	closed   bool            // guarded by mu
}

// Open reads which segments there are. It opens none of them.
func Open(o Options) (*Store, error) {
	if err := checkSize(o.SegmentSize); err != nil {
		return nil, fmt.Errorf("open segments: %w", err)
	}
	if o.Reserve == 0 {
		o.Reserve = 2
	}
	if o.Pool == 0 {
		o.Pool = max(2, o.Limit/100)
	}
	if o.OpenFiles == 0 {
		o.OpenFiles = 128
	}
	if o.Tight == nil {
		o.Tight = func() bool { return false }
	}
	s := &Store{
		fs:      guardfs.Checked(o.FS, o.Health),
		dir:     o.Dir,
		drive:   o.Drive,
		tag:     ondisk.DriveTag(o.Drive),
		size:    o.SegmentSize,
		units:   unitsIn(o.SegmentSize),
		o:       o,
		health:  o.Health,
		log:     o.Log,
		segs:    map[uint32]*seg{},
		partial: map[uint32]*seg{},
		roomy:   map[uint32]*seg{},
		loose:   map[uint32]*seg{},
		guards:  map[uint64]int{},
		freeing: map[*seg]bool{},
	}
	s.o.Rows = nil
	s.files = newFiles(s, o.OpenFiles)
	if s.pace = o.Pace; s.pace == nil {
		s.pace = NewPace()
	}
	s.turns, s.single = make(chan struct{}, directWrites), make(chan struct{}, 1)
	s.direct.Store(true)
	s.bufs.New = func() any { b := make([]byte, 0, batchSize); return &b }
	s.blocks.New = func() any { b := make([]byte, ondisk.BlockSize); return &b }
	for no, row := range o.Rows {
		g, err := s.fromRow(no, row)
		if err != nil {
			return nil, fmt.Errorf("open segments: row S %d: %w", no, err)
		}
		s.segs[no] = g
	}
	if err := s.findFiles(); err != nil {
		return nil, fmt.Errorf("open segments: %w", err)
	}
	s.probe()
	return s, nil
}

// findFiles matches the directory with the rows.
func (s *Store) findFiles() error {
	if err := s.makeDir(); err != nil {
		return err
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		no, ok := parseName(name)
		if !ok {
			s.log.Warn("unknown file among the segments", "name", name)
			continue
		}
		g := s.segs[no]
		if g == nil {
			g = &seg{no: no}
			s.segs[no] = g
		}
		g.file = true
		if info, err := s.fs.Stat(s.path(no)); err == nil {
			g.written = info.Size()
		}
		s.born++
		if g.live == 0 {
			s.free = append(s.free, no)
		}
	}
	for no, g := range s.segs {
		if g.live > 0 && !g.file {
			s.log.Error("segment file is missing", "segment", no, "live_bytes", g.live)
			s.born++ // counted as used until its shards are healed elsewhere
			g.lost = true
			delete(s.partial, no)
			delete(s.roomy, no)
			delete(s.loose, no)
		}
	}
	return nil
}

// makeDir creates the directory of a new store, for good.
func (s *Store) makeDir() error {
	if _, err := s.fs.Stat(s.dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.fs.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	return s.syncDir(s.fs.PathDir(s.dir))
}

func (s *Store) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		return err
	}
	return d.Close()
}

// Close waits for running syncs and closes the files. Readers that are still open keep theirs
// until they are closed; writers are lost, as in a crash.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.syncs.Wait()
	s.files.close()
	return nil
}

// Stats is what the store holds.
type Stats struct {
	SegmentSize int64
	Limit       int   // segments there may be
	Segments    int   // segment files
	Free        int   // emptied ones among them
	Available   int   // segments that new data may still take, the reserve not counted
	Live        int64 // bytes on disk that rows refer to
	Reserved    int64 // bytes taken by writers that have not committed
	Allocated   int64 // bytes that the files occupy, about
	Lost        int   // segments with live data whose file is missing
}

// Stats counts. It is cheap enough for a metrics scrape.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		SegmentSize: s.size,
		Limit:       s.o.Limit,
		Segments:    s.born,
		Free:        len(s.free),
		Available:   max(0, s.available()-s.o.Reserve),
		Reserved:    s.reserved,
	}
	for _, g := range s.segs {
		st.Live += g.live
		if g.lost {
			st.Lost++
		}
		if g.file {
			st.Allocated += g.allocated()
		}
	}
	return st
}

// available is the number of segments that could still be taken into use. s.mu is held.
func (s *Store) available() int { return len(s.free) + max(0, s.o.Limit-s.born) }
