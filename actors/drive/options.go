package drive

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/actors/ondisk"
	"holdfast/actors/segment"
)

// Options says how a drive is opened. Path and Label are needed, the rest has defaults.
type Options struct {
	// Path is the drive's directory, already formatted (Format).
	Path string
	// FS is the file system that Path lies on; nil is the operating system's. Tests put memory and
	// faults here.
	FS vfs.FS
	// Label is what FORMAT must say: Open refuses a directory with another identity. The zero drive
	// id accepts whatever is there.
	Label ondisk.Label

	// Cache is the block cache shared by all drives of the process; nil gives the drive its own small one.
	Cache *pebble.Cache
	// MemTable is the most bytes one memtable may take. Of the memory budget a drive uses up to
	// maxMemTables times that. 0 is 4 MiB.
	MemTable int64

	// Paces tells which drives share a device, and with it the pace of their writes; nil: none do.
	Paces *segment.Paces
	// Journal is the size of a file of the journal in bytes, a multiple of ondisk.JournalPage. 0 fits it
	// to the drive.
	Journal int64

	// Limits bound queues and workers; zero fields get defaults.
	Limits Limits
	// MinReserve raises the reserve of free bytes at which new data is refused.
	MinReserve int64
	// Usage replaces statfs in tests: it tells capacity and free bytes of the file system.
	Usage func() (capacity, free int64, err error)

	Log      *slog.Logger
	Registry prometheus.Registerer // nil: no metrics
	Clock    func() time.Time      // nil: time.Now
}

// Limits are the named bounds of one drive's queues and workers.
type Limits struct {
	Mailbox    int           // messages waiting for the writer loop: 4096
	BatchOps   int           // operations in one batch: 512
	BatchBytes int           // bytes of rows in one batch: 8 MiB
	Marks      int           // stable marks waiting for a batch: 65536
	Readers    int           // reports, scans and shard reads at one time: 64
	Writers    int           // data writes at one time: 16
	MarkDelay  time.Duration // longest time a mark waits for a batch to ride on: 20 ms
	IdleSync   time.Duration // longest time written marks wait for a sync on an idle drive: 1 s
	Hung       time.Duration // a drive that answers nothing for so long is out of service until it does: 5 s
	Close      time.Duration // what is under way when the drive is closed and takes longer is left behind: 10 s
}

// withDefaults fills the zero fields.
func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Mailbox, 4096)
	def(&l.BatchOps, 512)
	def(&l.BatchBytes, 8<<20)
	def(&l.Marks, 1<<16)
	def(&l.Readers, 64)
	def(&l.Writers, 16)
	if l.MarkDelay == 0 {
		l.MarkDelay = 20 * time.Millisecond
	}
	if l.IdleSync == 0 {
		l.IdleSync = time.Second
	}
	if l.Hung == 0 {
		l.Hung = 5 * time.Second
	}
	if l.Close == 0 {
		l.Close = 10 * time.Second
	}
	return l
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.withDefaults()
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.MemTable == 0 {
		o.MemTable = 4 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}
