package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

const testSize = page + 4*UnitSize

var testDrive = cluster.DriveID{1, 2, 3}

// rig is a store with the index that its owner would keep.
type rig struct {
	t      testing.TB
	fs     vfs.FS
	health *guardfs.Health
	o      Options
	s      *Store

	lenient bool // the drive is meant to fail

	mu     sync.Mutex // stands for the one writer loop
	rows   map[uint32]ondisk.SegmentRow
	shards map[object.OID]stored
}

type stored struct {
	extents []ondisk.Extent
	frame   int
	seed    uint64
	size    int
}

func newRig(t testing.TB, fs vfs.FS, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, fs: fs, rows: map[uint32]ondisk.SegmentRow{}, shards: map[object.OID]stored{}}
	r.o = Options{Dir: "drive/seg", Drive: testDrive, SegmentSize: testSize, Limit: 16}
	if change != nil {
		change(&r.o)
	}
	mkdir(t, fs, r.fs.PathDir(r.o.Dir))
	r.open(fs)
	return r
}

// open opens the store on fs with the rows as they are.
func (r *rig) open(fs vfs.FS) {
	r.t.Helper()
	r.fs, r.health = fs, guardfs.NewHealth()
	o := r.o
	o.FS, o.Health, o.Log = fs, r.health, slog.New(slog.NewTextHandler(io.Discard, nil))
	o.Rows = map[uint32]ondisk.SegmentRow{}
	for no, row := range r.rows { // through the codec, as the index would
		got, err := ondisk.DecodeSegmentRow(ondisk.AppendSegmentRow(nil, &row))
		if err != nil {
			r.t.Fatal(err)
		}
		o.Rows[no] = got
	}
	s, err := Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.s = s
	r.t.Cleanup(func() { s.Close() })
}

// content is the data of a shard: different for each seed and offset.
func content(seed uint64, n int) []byte {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

func oidOf(seed uint64) object.OID {
	var id object.OID
	binary.BigEndian.PutUint64(id[:], seed)
	id[15] = 0xAA
	return id
}

// stage writes and syncs a shard.
func (r *rig) stage(seed uint64, size, frame int, hint int64) (*Writer, error) {
	w, err := r.s.Writer(Shard{OID: oidOf(seed), Write: object.WriteID{9}, Frame: frame, Size: hint})
	if err != nil {
		return nil, err
	}
	data := content(seed, size)
	for len(data) > 0 {
		n := min(frame, len(data))
		buf := append(make([]byte, ondisk.FrameHeaderRoom), data[:n]...)
		if err := w.WriteFrame(buf); err != nil {
			w.Abort()
			return nil, err
		}
		data = data[n:]
	}
	return w, w.Sync(context.Background())
}

// commit does what the writer loop does, the batch being durable at once.
func (r *rig) commit(seed uint64, size, frame int, w *Writer) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	rows, err := w.Commit()
	if err != nil {
		r.t.Fatal(err)
	}
	r.apply(rows)
	r.shards[oidOf(seed)] = stored{w.Extents(), frame, seed, size}
}

func (r *rig) apply(rows []Row) {
	for _, row := range rows {
		r.rows[row.Segment] = row.SegmentRow
	}
}

func (r *rig) put(seed uint64, size, frame int, hint int64) error {
	w, err := r.stage(seed, size, frame, hint)
	if err != nil {
		return err
	}
	r.commit(seed, size, frame, w)
	return nil
}

func (r *rig) mustPut(seed uint64, size int) {
	r.t.Helper()
	if err := r.put(seed, size, 1<<20, int64(size)); err != nil {
		r.t.Fatal(err)
	}
}

// remove frees a shard and makes that durable.
func (r *rig) remove(seed uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rel := r.s.Free(r.shards[oidOf(seed)].extents)
	r.apply(rel.Rows)
	delete(r.shards, oidOf(seed))
	rel.Durable()
}

// read returns a shard in two ways, which must agree.
func (r *rig) read(seed uint64) ([]byte, error) {
	g := r.s.Enter()
	defer g.Leave()
	r.mu.Lock()
	st, ok := r.shards[oidOf(seed)]
	r.mu.Unlock()
	if !ok {
		return nil, errors.New("no such shard")
	}
	rd, err := g.Open(oidOf(seed), st.extents, 0)
	if err != nil {
		return nil, err
	}
	defer rd.Close()
	if rd.Size() != int64(st.size) {
		return nil, fmt.Errorf("size %d, want %d", rd.Size(), st.size)
	}
	var whole []byte
	dst := make([][]byte, 3)
	for i := range dst {
		dst[i] = make([]byte, ondisk.FrameHeaderRoom+rd.Frame())
	}
	for n := 0; n < rd.Frames(); n += len(dst) {
		got, err := rd.ReadFrames(n, dst)
		if err != nil {
			return nil, err
		}
		for _, b := range got {
			whole = append(whole, b...)
		}
	}
	at := make([]byte, st.size)
	if err := rd.ReadAt(at, 0); err != nil {
		return nil, err
	}
	if !bytes.Equal(at, whole) {
		return nil, errors.New("ReadAt and ReadFrames differ")
	}
	return whole, nil
}

func (r *rig) check() {
	r.t.Helper()
	for _, st := range r.shards {
		got, err := r.read(st.seed)
		if err != nil {
			r.t.Errorf("shard %d of %d bytes: %v", st.seed, st.size, err)
		} else if !bytes.Equal(got, content(st.seed, st.size)) {
			r.t.Errorf("shard %d of %d bytes: wrong data", st.seed, st.size)
		}
	}
}

// mkdir makes a directory that survives a crash.
func mkdir(t testing.TB, fs vfs.FS, dir string) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, ok := vfs.Root(fs).(*vfs.MemFS); !ok {
		return
	}
	for d := dir; ; d = path.Dir(d) {
		f, err := fs.OpenDir(map[bool]string{true: "/", false: d}[d == "."])
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if d == "." {
			return
		}
	}
}

func TestRoundTrip(t *testing.T) {
	sizes := []int{0, 1, 4095, 4096, 65535, 65536, 65537, 200_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 77}
	for _, frame := range []int{256 << 10, 512 << 10, 1 << 20} {
		for _, hinted := range []bool{true, false} {
			t.Run(fmt.Sprintf("frame %d hinted %v", frame, hinted), func(t *testing.T) {
				r := newRig(t, vfs.NewMem(), nil)
				for i, size := range sizes {
					hint := int64(-1)
					if hinted {
						hint = int64(size)
					}
					if err := r.put(uint64(i), size, frame, hint); err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
				}
				r.check()
				if got := r.s.Stats().Reserved; got != 0 {
					t.Errorf("%d bytes still reserved", got)
				}
				r.open(r.fs)
				r.check()
			})
		}
	}
}

func TestRoundTripOnRealFiles(t *testing.T) {
	for _, direct := range []bool{true, false} {
		t.Run(fmt.Sprintf("direct %v", direct), func(t *testing.T) {
			dir := t.TempDir()
			r := newRig(t, vfs.Default, func(o *Options) { o.Dir = dir + "/seg" })
			if !direct {
				r.s.direct.Store(false)
			}
			sizes := []int{1, 100_000, 131_072, 131_073, 524_288, 1 << 20, 1<<20 + 1, 3<<20 + 77}
			for round := range 2 { // fresh, then recycled
				for i, size := range sizes {
					if err := r.put(uint64(round*100+i), size, 512<<10, int64(size)); err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
				}
				r.check()
				if round == 0 {
					for i := range sizes {
						r.remove(uint64(i))
					}
				}
			}
			r.open(vfs.Default)
			r.check()
		})
	}
}

func TestOddFrameOfOneStripe(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	if err := r.put(1, 100_001, 900_009, 100_001); err != nil {
		t.Fatal(err)
	}
	r.check()
	if err := r.put(2, 1_900_000, 900_009, -1); !errors.Is(err, ErrFrame) {
		t.Errorf("several odd frames: %v", err)
	}
}

func TestHintsMayBeWrong(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	for i, c := range []struct {
		size int
		hint int64
	}{{700_000, 10}, {10, 1 << 20}, {2 << 20, 100}, {100, 3 << 20}, {5 << 20, 2 << 20}} {
		if err := r.put(uint64(i), c.size, 256<<10, c.hint); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
	}
	r.check()
}

func TestRandomRanges(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	rng := rand.New(rand.NewPCG(1, 2))
	for seed, size := range []int{70_000, 900_000, 3 << 20} {
		if err := r.put(uint64(seed), size, 256<<10, int64(size)); err != nil {
			t.Fatal(err)
		}
		want := content(uint64(seed), size)
		g := r.s.Enter()
		rd, err := g.Open(oidOf(uint64(seed)), r.shards[oidOf(uint64(seed))].extents, 256<<10)
		g.Leave()
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			off := rng.IntN(size)
			p := make([]byte, rng.IntN(min(size-off, 400_000)+1))
			if err := rd.ReadAt(p, int64(off)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p, want[off:off+len(p)]) {
				t.Fatalf("range %d+%d differs", off, len(p))
			}
		}
		if err := rd.ReadAt(make([]byte, 1), int64(size)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read behind the end: %v", err)
		}
		rd.Close()
	}
}

func TestConcurrentWritersShareSyncs(t *testing.T) {
	r := newRig(t, vfs.NewCrashableMem(), func(o *Options) { o.Limit = 40 })
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 6 {
				size := []int{3000, 70_000, 300_000, 1_200_000}[(i+j)%4]
				if err := r.put(uint64(i*100+j), size, 256<<10, int64(size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.check()
	crashed := r.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	r.open(crashed)
	r.check()
}

// A shard whose length is known lies in one piece, if there is one; others grow by steps.
func TestKnownLengthLiesInOnePiece(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.SegmentSize = page + 40*UnitSize })
	r.mustPut(1, 3<<20)
	r.mustPut(2, 20<<20)
	if n := len(r.shards[oidOf(2)].extents); n != 1 {
		t.Errorf("%d extents", n)
	}
	r.mustPut(3, 30<<20) // more than is left in the first segment
	if err := r.put(4, 12<<20, 1<<20, -1); err != nil {
		t.Fatal(err)
	}
	r.check()
}

// Streams that grow into new segments at the same time must not get the same units.
func TestConcurrentStreamsGetTheirOwnUnits(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *Options) { o.Limit = 200; o.SegmentSize = page + 2*UnitSize })
	var wg sync.WaitGroup
	for i := range uint64(12) {
		wg.Go(func() {
			for j := range uint64(4) {
				if err := r.put(i*100+j, 1_100_000, 1<<20, -1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.check()
}

func TestRestartFreesWhatWasNotCommitted(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.mustPut(1, 100_000)
	r.mustPut(2, 2<<20)
	live := r.s.Stats().Live
	for i := range 3 { // staged, never committed
		for _, size := range []int{5_000, 300_000, 2 << 20} {
			if _, err := r.stage(uint64(100+i), size, 1<<20, int64(size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r.s.Stats().Reserved == 0 {
		t.Error("nothing reserved")
	}
	r.open(r.fs)
	if st := r.s.Stats(); st.Live != live || st.Reserved != 0 {
		t.Errorf("after restart: %+v, want %d live", st, live)
	}
	for i := uint64(10); ; i++ { // the space can be filled again, over what was left there
		err := r.put(i, 400_000+int(i)*30_000, 1<<20, int64(400_000+int(i)*30_000))
		if errors.Is(err, ErrNoSpace) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r.check()
}

func TestAbortGivesBackAtOnce(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	for i := range 60 { // more than fits if nothing came back
		for _, hint := range []int64{1 << 20, -1} {
			w, err := r.stage(uint64(i), 1<<20, 1<<20, hint)
			if err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
			w.Abort()
			w.Abort()
			if _, err := w.Commit(); !errors.Is(err, ErrDone) {
				t.Fatalf("commit after abort: %v", err)
			}
		}
	}
	if st := r.s.Stats(); st.Reserved != 0 {
		t.Errorf("%+v", st)
	}
}

func TestCommitNeedsSync(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	for _, size := range []int{100, 100_000, 2 << 20} {
		w, err := r.s.Writer(Shard{OID: oidOf(1), Frame: 1 << 20, Size: int64(size)})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteFrame(make([]byte, ondisk.FrameHeaderRoom+min(size, 1<<20))); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); !errors.Is(err, ErrNotSynced) {
			t.Errorf("%d bytes: %v", size, err)
		}
		w.Abort()
	}
}
