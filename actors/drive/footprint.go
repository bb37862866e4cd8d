package drive

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// footprintPause times what adding up took is how long it rests: a drive has thousands of files.
const footprintPause = 100

// footprint is how many bytes the drive's files take on its file system. Called by run alone.
func (s *space) footprint() {
	if time.Now().Before(s.addAgain) {
		return
	}
	if vfs.Root(s.a.o.FS) != vfs.Default { // in memory, where nothing counts blocks
		s.used.Store(int64(s.index.Load().DiskSpaceUsage()) + s.a.store.Stats().Allocated + s.a.journal.Stats().Bytes)
		return
	}
	begun := time.Now()
	s.used.Store(bytesBelow(s.a.path))
	s.addAgain = time.Now().Add(footprintPause * time.Since(begun))
}

// bytesBelow adds up the blocks of all files in a directory: holes take nothing, and what was allocated
// beyond the end of a file does. What cannot be looked at, or goes meanwhile, is not counted.
func bytesBelow(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				total += st.Blocks * 512
			}
		}
		return nil
	})
	return total
}
