package journal_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// gateFS holds back the first making of a file behind Begin's, and, once armed, the sync of an unsynced
// record until the making of the next file has begun.
type gateFS struct {
	vfs.FS
	shut    chan struct{} // makings wait for it to be closed
	armed   atomic.Bool
	syncing chan struct{} // closed when the writer is in the sync of turn
	made    chan struct{} // closed when the making of the file behind has begun
	makings atomic.Int64
}

func (g *gateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".log.new") {
		switch g.makings.Add(1) {
		case 2:
			<-g.shut
		case 3:
			close(g.made)
		}
	}
	return g.FS.Create(name, c)
}

func (g *gateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := g.FS.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	return &gateFile{f, g}, nil
}

type gateFile struct {
	vfs.File
	g *gateFS
}

func (f *gateFile) SyncData() error {
	if f.g.armed.CompareAndSwap(true, false) {
		close(f.g.syncing)
		select {
		case <-f.g.made:
		case <-time.After(5 * time.Second): // a tree that waits for the writer
		}
	}
	return f.File.SyncData()
}

// TestAFileNamesTheOneBeforeItWhenTheWriterTurnsMeanwhile: the writer took file 2 and syncs file 1 before
// it turns; Run, asked once more in the meantime, makes file 3, which must not name 1.
func TestAFileNamesTheOneBeforeItWhenTheWriterTurnsMeanwhile(t *testing.T) {
	mem := vfs.NewMem()
	g := &gateFS{FS: mem, shut: make(chan struct{}), syncing: make(chan struct{}), made: make(chan struct{})}
	if err := g.MkdirAll(testDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := journal.Create(g, testEnd, testDrive); err != nil {
		t.Fatal(err)
	}
	h := guardfs.NewHealth()
	j, err := journal.Open(journal.Options{
		FS: guardfs.Checked(g, h), Dir: testDir, End: testEnd, Drive: testDrive, Size: 64 << 10, MaxLog: 1, Change: h.Change,
		Behind: func() { // AsyncFlush, which waits for the commit that is under way
			select {
			case <-g.syncing:
			case <-time.After(5 * time.Second):
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Replay(0, nil); err != nil {
		t.Fatal(err)
	}
	if err := j.Begin(); err != nil {
		t.Fatal(err)
	}
	stop, ran := make(chan struct{}), make(chan error, 1)
	go func() { ran <- j.Run(stop) }()
	batch := uint64(0)
	write := func(sync bool) {
		t.Helper()
		batch++
		j.Add(ondisk.AppendPayload(nil, ondisk.DriveTag(testDrive), object.OID{byte(batch)}, make([]byte, 8000)))
		if _, err := j.Append(batch, rowsOf(batch), sync); err != nil {
			t.Fatal(err)
		}
	}
	await.True(t, "file 2 to be made", func() bool {
		write(true)
		return g.makings.Load() == 2
	})
	write(true) // file 2 is asked for once more
	g.armed.Store(true)
	close(g.shut)
	await.True(t, "the writer to turn to file 2", func() bool {
		write(false) // marks
		return len(j.Files()) == 2
	})
	g.armed.Store(false)
	await.True(t, "the writer to turn to file 3", func() bool {
		write(true)
		return len(j.Files()) == 3
	})
	write(true)
	// The process is killed here: nothing was flushed.
	close(stop)
	<-ran
	j2, err := journal.Open(journal.Options{FS: mem, Dir: testDir, End: testEnd, Drive: testDrive, Size: 64 << 10, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	last, err := j2.Replay(0, func(uint64, []byte) error { return nil })
	if err != nil || last != batch {
		t.Errorf("of %d batches that were synced %d came back: %v", batch, last, err)
	}
}
