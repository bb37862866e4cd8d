package erasureset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/actors/digest"
	"holdfast/actors/drive"
	"holdfast/actors/erasure"
	"holdfast/actors/object"
	"holdfast/actors/placement"
	"holdfast/actors/quorum"
	"holdfast/actors/slab"
	"holdfast/actors/throttle"
	"holdfast/raftfsm/cluster"
)

// Options are what a Store works with. Zero values of limits choose the defaults beside them.
type Options struct {
	// Drives returns the drive of an identity, never nil: drive.Offline stands for one that is
	// not there. It is called for every operation and must be cheap.
	Drives func(cluster.DriveID) drive.Drive
	// Topology returns the current one; the pointer changes when it does.
	Topology func() *cluster.Topology
	// Buckets lists the buckets there are, for the sweep of forgotten tombstones; nil: no sweep.
	Buckets func() []cluster.Bucket
	// Bucket finds one of them, with its present revision; nil: what the caller handed in never changes,
	// and nothing is done in the background.
	Bucket func(cluster.BucketID) (cluster.Bucket, bool)
	// Slabs are the buffers of bodies on their way in, ReadSlabs of those on their way out; nil: Slabs.
	// Two pools keep clients that read slowly, and hold what they read, from holding up writes.
	Slabs, ReadSlabs *slab.Pool

	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: no metrics

	Clock          func() time.Time // wall clock; time.Now
	StragglerLimit time.Duration    // wait for slots beyond W before an acknowledgement; 50 ms
	MarkLimit      time.Duration    // ... before a version is marked stable without them; 500 ms
	MarkInterval   time.Duration    // marks are sent together at most so late; 10 ms
	CommitLimit    time.Duration    // deadline of a change, and of a look-up; 15 s
	HealEvery      time.Duration    // period of looking for what drives have missed; 10 s. Negative: never
	HealLimit      time.Duration    // ... of one that may have to code an object anew; 10 min
	FrameLimit     time.Duration    // deadline of one frame's write, and of a sync; 20 s
	StallLimit     time.Duration    // a drive a row behind for so long is left out of a write; 10 s
	HedgeAfter     time.Duration    // an answer later than this is asked for elsewhere too; 60 ms
	ResolveEvery   time.Duration    // period of the resolver; 2 s. Negative: it does not run
	ResolveAge     time.Duration    // age at which an unfinished version is resolved; 2 s
	CollectEvery   time.Duration    // period of tombstone collection; 1 s. Negative: it does not run
	SweepEvery     time.Duration    // period of the sweep for forgotten tombstones; 1 h
	InlineLimit    int              // largest shard that goes with the commit, not to segments; 2 KiB
}

func (o *Options) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.StragglerLimit, 50*time.Millisecond)
	def(&o.MarkLimit, 500*time.Millisecond)
	def(&o.MarkInterval, 10*time.Millisecond)
	def(&o.CommitLimit, 15*time.Second)
	def(&o.HealEvery, 10*time.Second)
	def(&o.HealLimit, 10*time.Minute)
	def(&o.FrameLimit, 20*time.Second)
	def(&o.StallLimit, 10*time.Second)
	def(&o.HedgeAfter, 60*time.Millisecond)
	def(&o.ResolveEvery, 2*time.Second)
	def(&o.ResolveAge, 2*time.Second)
	def(&o.CollectEvery, time.Second)
	def(&o.SweepEvery, time.Hour)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.InlineLimit == 0 {
		o.InlineLimit = 2 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Store coordinates the objects of all erasure sets of one topology.
type Store struct {
	opt        Options
	log        *slog.Logger
	codec      *erasure.Codec
	slabs      *slab.Pool // bodies on their way in
	readSlabs  *slab.Pool // bodies on their way out
	clock      clock
	env        quorum.Env
	turns      turns
	watermarks watermarks
	ops        sync.Pool // of *op
	calls      sync.Pool // of *call
	crew       crew
	marks      *marker
	tombs      *collector
	digests    *digest.Pool
	long       *digest.Pool // of long bodies, see behind
	brisk      brisk        // streams on their way out
	plans      planCache
	uploads    uploadCache
	around     throttle.Throttle // of the lines about shards that are read around: one bad drive has many

	metrics *metrics

	background sync.WaitGroup // rounds, lanes and loops that outlive their operation
	stop       context.CancelFunc
	closing    context.Context // done when Close begins: ends the loops
	closeOnce  sync.Once
}

// New starts a coordinator. Close must be called before the drives are closed.
func New(opt Options) (*Store, error) {
	opt.setDefaults()
	if opt.Drives == nil || opt.Topology == nil || opt.Slabs == nil {
		return nil, errors.New("erasureset: Drives, Topology and Slabs are needed")
	}
	if opt.ReadSlabs == nil {
		opt.ReadSlabs = opt.Slabs
	}
	codec, err := erasure.NewCodec()
	if err != nil {
		return nil, fmt.Errorf("erasureset: %w", err)
	}
	s := &Store{opt: opt, log: opt.Logger, codec: codec, slabs: opt.Slabs, readSlabs: opt.ReadSlabs, digests: digest.New(), long: digest.New(), brisk: newBrisk()}
	s.clock.wall, s.clock.log = opt.Clock, s.log
	s.env = quorum.Env{Clock: &s.clock, Limits: quorum.Limits{
		Write:    quorum.WriteLimits{Straggler: opt.StragglerLimit, Mark: opt.MarkLimit, Restamps: restamps},
		Interval: 2 * opt.MarkInterval, Life: drive.AttemptLife, Tries: tries, Hedge: opt.HedgeAfter,
	}}
	s.metrics = newMetrics(opt.Registry, s)
	s.closing, s.stop = context.WithCancel(context.Background())
	s.marks = newMarker(s)
	s.tombs = newCollector(s)
	s.background.Go(s.marks.loop)
	if opt.ResolveEvery > 0 {
		s.background.Go(s.settleLoop)
	}
	if opt.HealEvery > 0 {
		s.background.Go(s.healLoop)
	}
	if opt.CollectEvery > 0 {
		s.background.Go(s.tombs.loop)
	}
	if opt.Buckets != nil && opt.SweepEvery > 0 {
		s.background.Go(s.sweepLoop)
	}
	return s, nil
}

const (
	restamps = 4  // how often a refused write is offered again under a newer stamp
	tries    = 12 // how often a ballot, or a read, that others came in the way of is begun anew
)

// Close waits for the rounds under way, sends what marks are left and stops. It is idempotent; no
// operation may be begun after it.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.stop()
		s.background.Wait()
		s.crew.close()
		s.marks.flush()
	})
	return nil
}

// Observe makes every later stamp exceed one that a drive has seen: a wall clock that was set back
// between two runs must not stamp new writes below old ones (I22).
func (s *Store) Observe(stamp object.Stamp) {
	s.clock.Observe(stamp)
}

// maxSlots bounds the slots of a set.
const maxSlots = placement.MaxSetSize

// target is where a key lives.
type target struct {
	bucket cluster.Bucket
	key    object.Key
	id     cluster.SetID
	set    cluster.Set
	shape  quorum.Shape
	drives [maxSlots]drive.Drive // by slot
}

func (s *Store) target(bucket *cluster.Bucket, name string) *target {
	topo := s.opt.Topology()
	id := placement.SetOf(topo, bucket.ID, name)
	t := &target{bucket: *bucket, key: object.Key{Bucket: bucket.ID, Name: name}, id: id, set: topo.Sets[id]}
	t.shape = quorum.ShapeOf(t.set.N())
	for i, d := range t.set.Members {
		t.drives[i] = s.opt.Drives(d)
	}
	return t
}

func (t *target) n() int { return t.shape.N }

// online are the slots whose drives are in service.
func (t *target) online() quorum.Slots {
	var m quorum.Slots
	for i := range t.n() {
		if t.drives[i].Health().State == drive.Online {
			m |= quorum.Slot(i)
		}
	}
	return m
}

// writable are the slots that take data now, or why too few do for a write. Full ones that are about
// to have room, and wait for it, are among them only if the others are too few.
func (t *target) writable() (quorum.Slots, error) {
	var on, room, soon quorum.Slots
	for i := range t.n() {
		if h := t.drives[i].Health(); h.State == drive.Online {
			on |= quorum.Slot(i)
			if !h.Full {
				room |= quorum.Slot(i)
			} else if h.Reclaiming {
				soon |= quorum.Slot(i)
			}
		}
	}
	if room.Len() < t.shape.W {
		room |= soon
	}
	switch {
	case on.Len() < t.shape.W:
		return 0, t.writeQuorum(on, "")
	case room.Len() < t.shape.W:
		return 0, fmt.Errorf("set %d: %d of %d drives have room, %d are needed: %w", t.id, room.Len(), t.n(), t.shape.W, object.ErrStorageFull)
	}
	return room, nil
}

// writeQuorum names the set, what it has of what it needs, and who is missing.
func (t *target) writeQuorum(have quorum.Slots, more string) error {
	return fmt.Errorf("set %d: %d of %d drives can take the write, %d are needed%s (missing: %s): %w",
		t.id, have.Len(), t.n(), t.shape.W, more, t.names(quorum.AllSlots(t.n())&^have), object.ErrWriteQuorum)
}

func (t *target) readQuorum(have quorum.Slots, more string) error {
	return fmt.Errorf("set %d: %d of %d drives answered, %d are needed%s (missing: %s): %w",
		t.id, have.Len(), t.n(), t.shape.K, more, t.names(quorum.AllSlots(t.n())&^have), object.ErrReadQuorum)
}

func (t *target) names(slots quorum.Slots) string {
	var b []byte
	for i := range slots.All() {
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(b, t.set.Members[i].String()[:8]...)
	}
	return string(b)
}
