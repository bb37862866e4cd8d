package drive

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/ondisk"
)

const (
	// maxMemTables is how many memtables may exist before writes stall; it bounds their memory.
	maxMemTables = 4
	minMemTable  = 1 << 20
	maxMemTable  = 32 << 20
	// indexFormat is set explicitly: unset, Pebble starts at a version that cannot tell rot in the
	// middle of a log from its torn end.
	indexFormat = pebble.FormatTableFormatV6
)

// memTableSize fits memtables to the drive: four of them and as many logs are part of the reserve,
// so a small drive gets small ones.
func memTableSize(capacity, limit int64) int64 {
	return max(minMemTable, min(capacity/1024, limit, maxMemTable))
}

// indexOptions are those of every drive's index. fs is already guarded.
func indexOptions(fs vfs.FS, o Options, memTable int64, h *guardfs.Health) *pebble.Options {
	opts := &pebble.Options{
		FS:                          fs,
		DisableWAL:                  true, // the drive's journal is the log
		Comparer:                    ondisk.Comparer(),
		Merger:                      ondisk.Merger(),
		FormatMajorVersion:          indexFormat,
		Cache:                       o.Cache,
		MemTableSize:                uint64(memTable),
		MemTableStopWritesThreshold: maxMemTables,
		// Back pressure is the mailbox's: Pebble never stops writes on account of L0.
		L0StopWritesThreshold: 1000,
		L0CompactionThreshold: 4,
		LBaseMaxBytes:         max(16<<20, 4*memTable),
		MaxOpenFiles:          512,
		Logger:                guardfs.Logger{Health: h, Log: o.Log},
		EventListener:         guardfs.Listener(h, nil),
		// One compaction beside the flush, a second when work piles up: drives share the cores.
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = 32 << 10
		opts.Levels[i].IndexBlockSize = 256 << 10
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].FilterType = pebble.TableFilter
		if i < len(opts.Levels)-1 { // what is on its way down is written again soon: pressing it costs more than it saves
			opts.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		}
	}
	return opts
}
