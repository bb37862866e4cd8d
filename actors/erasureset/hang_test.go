package erasureset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/slab"
)

// TestHungDriveWithoutASpare: of four drives one is away and one hangs, so that no write can have its
// quorum. Writes that are under way are told so within seconds, later ones at once; reads go on; and
// when the drive answers again all is well.
func TestHungDriveWithoutASpare(t *testing.T) {
	const size = 9 << 20
	hangs := map[string]*drivetest.Hang{}
	f := newLocalFixtureOf(t, 4, 1<<30, func(o *drive.Options) {
		hang := &drivetest.Hang{}
		hangs[o.Path] = hang
		o.FS = drivetest.Inject(vfs.NewMem(), hang)
		if err := o.FS.MkdirAll(o.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		o.Limits.Hung = time.Second
	})
	small, large := pattern(1, 3000), pattern(2, size)
	f.mustPut("small", small)
	f.mustPut("large", large)
	f.setOffline(0, true)
	sick := f.opt.Drives(f.topo.Drives[1].ID).(*drive.Actor)
	hang := hangs[sick.Path()]
	state := func(want drive.State) {
		t.Helper()
		await.True(t, "the drive's state changes", func() bool { return sick.Health().State == want })
	}
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "parts"})
	if err != nil {
		t.Fatal(err)
	}
	writes := map[string]func() error{
		"inline":   func() error { _, err := f.put("new", small); return err },
		"streamed": func() error { _, err := f.put("new", large); return err },
		"delete":   func() error { return f.del("small") },
		"upload": func() error {
			_, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "new"})
			return err
		},
		"part": func() error {
			_, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: "parts", Upload: up.ID, Number: 1, Body: bytes.NewReader(large), Size: size})
			return err
		},
	}
	for name, write := range writes {
		hang.Set(true)
		begun := time.Now()
		if err := write(); !errors.Is(err, object.ErrWriteQuorum) {
			t.Errorf("%s while the drive begins to hang: %v", name, err)
		}
		first := time.Since(begun)
		state(drive.Absent)
		begun = time.Now()
		if err := write(); !errors.Is(err, object.ErrWriteQuorum) {
			t.Errorf("%s: %v", name, err)
		}
		second := time.Since(begun)
		t.Logf("%s: refused after %v, then %v", name, first, second)
		if first > 4*time.Second || second > time.Second {
			t.Errorf("%s: refused after %v, then %v", name, first, second)
		}
		f.mustGet("large", large)
		hang.Set(false)
		state(drive.Online)
	}
	// A body whose drive hangs in the middle, and whose client leaves.
	gone := errors.New("client went away")
	body := io.MultiReader(bytes.NewReader(large[:size/2]), &hanging{hang}, cut{bytes.NewReader(large[:1<<20]), gone})
	begun := time.Now()
	if _, err := f.Put(f.ctx(), &PutRequest{Bucket: f.bucket, Key: "new", Body: body, Size: size}); !errors.Is(err, gone) {
		t.Errorf("a client that leaves: %v", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("a client that left was served for %v", took)
	}
	hang.Set(false)
	state(drive.Online)
	// A read without a spare.
	f.setOffline(2, true)
	hang.Set(true)
	begun = time.Now()
	if _, err := f.get("large", nil); !errors.Is(err, object.ErrReadQuorum) {
		t.Errorf("read from a drive that hangs, without a spare: %v", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("that was said after %v", took)
	}
	state(drive.Absent)
	if _, err := f.get("large", nil); !errors.Is(err, object.ErrReadQuorum) {
		t.Error(err)
	}
	hang.Set(false)
	state(drive.Online)
	f.mustGet("large", large)
	f.setOffline(0, false)
	f.setOffline(2, false)
	f.mustPut("new", large)
	f.mustGet("new", large)
}

// hanging is an empty body that makes a drive hang.
type hanging struct{ hang *drivetest.Hang }

func (h *hanging) Read([]byte) (int, error) {
	h.hang.Set(true)
	return 0, io.EOF
}

// TestHungDriveKeepsOnlyItsOwnFrames: a drive hangs while as many bodies come in as there is room for.
// It keeps the frames that it was writing; all bodies go on with the others.
func TestHungDriveKeepsOnlyItsOwnFrames(t *testing.T) {
	const size, bodies, budget = 8 << 20, 10, 42 << 20
	hangs := map[string]*drivetest.Hang{}
	f := newLocalFixtureOf(t, 4, 1<<30, func(o *drive.Options) {
		hang := &drivetest.Hang{}
		hangs[o.Path] = hang
		o.FS = drivetest.Inject(vfs.NewMem(), hang)
		if err := o.FS.MkdirAll(o.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		o.Limits.Hung = time.Second
	})
	f.slabs.Close()
	f.slabs = slab.New(slab.Config{Budget: budget})
	f.opt.Slabs = f.slabs
	f.restart()
	sick := f.opt.Drives(f.topo.Drives[1].ID).(*drive.Actor)
	hang := hangs[sick.Path()]
	data := pattern(1, size)
	hung, done := make(chan struct{}), make(chan struct{})
	var puts sync.WaitGroup
	for i := range bodies {
		body := io.MultiReader(bytes.NewReader(data[:size/4]), later{hung}, bytes.NewReader(data[size/4:]))
		puts.Go(func() {
			if _, err := f.Put(f.ctx(), &PutRequest{Bucket: f.bucket, Key: fmt.Sprint(i), Body: body, Size: size}); err != nil {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	go func() { puts.Wait(); close(done) }()
	await.True(t, "bodies take all room", func() bool { return f.slabs.Stats().Buffers >= 4*(bodies-1) })
	hang.Set(true)
	close(hung)
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Errorf("bodies wait for room: %+v", f.slabs.Stats())
	}
	if st := f.slabs.Stats(); st.Buffers > bodies {
		t.Errorf("the drive that hangs keeps %d frames of %d bodies", st.Buffers, bodies)
	}
	hang.Set(false)
	<-done
	await.True(t, "the drive gives back what it kept", func() bool { return f.slabs.Stats().Buffers == 0 })
	for i := range bodies {
		f.mustGet(fmt.Sprint(i), data)
	}
}

// TestHungDrivePinsNoRoomOfReaders: reads that a drive does not answer keep no room of the readers' pool
// from those that the other drives serve, however long it takes until the drive is found silent.
func TestHungDrivePinsNoRoomOfReaders(t *testing.T) {
	const size, objects = 1 << 20, 48
	var hangs []*drivetest.Hang
	f := newLocalFixtureOf(t, 4, 1<<30, func(o *drive.Options) {
		hang := &drivetest.Hang{}
		hangs = append(hangs, hang)
		o.FS = drivetest.Inject(vfs.NewMem(), hang)
		if err := o.FS.MkdirAll(o.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		o.Limits.Hung = time.Hour
		o.Limits.Readers = objects + 8
	})
	reads := slab.New(slab.Config{Budget: 4 * (512<<10 + slab.HeaderRoom), Wait: 2 * time.Second})
	f.opt.ReadSlabs = reads
	f.restart()
	data := pattern(1, size)
	for i := range objects {
		f.mustPut(fmt.Sprint(i), data)
	}
	hangs[1].Set(true)
	defer hangs[1].Set(false)
	for i := range objects {
		begun := time.Now()
		f.mustGet(fmt.Sprint(i), data)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("read %d took %v: %+v", i, took, reads.Stats())
		}
	}
	if hangs[1].Waiting() < 5 {
		t.Errorf("%d calls hang: they would have fit into the pool", hangs[1].Waiting())
	}
	hangs[1].Set(false)
	await.True(t, "late reads give back what they held", func() bool { st := reads.Stats(); return st.Buffers == 0 && st.InUse == 0 })
	reads.Close()
}

// hungIndex is a store whose index has tables, which must be read from the disk, an upload with a part and
// the object "large" of the same data; the drive that can be made to hang is the second.
func hungIndex(t *testing.T, hung time.Duration, change func(*Options)) (f *fixture, hang *drivetest.Hang, up *ondisk.Upload, data []byte) {
	t.Helper()
	const size, keys = 6 << 20, 6000 // the memtables hold rows alone
	var hangs []*drivetest.Hang
	f = newLocalFixtureOf(t, 4, 1<<30, func(o *drive.Options) {
		hang := &drivetest.Hang{}
		hangs = append(hangs, hang)
		o.FS = drivetest.Inject(vfs.NewMem(), hang)
		if err := o.FS.MkdirAll(o.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		o.Limits.Hung = hung
	})
	change(&f.opt)
	f.restart()
	data = pattern(2, size)
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "upload"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: "upload", Upload: up.ID, Number: 1, Body: bytes.NewReader(data), Size: size}); err != nil {
		t.Fatal(err)
	}
	f.mustPut("large", data)
	for i := range keys {
		f.mustPut(fmt.Sprintf("key-%04d", i), pattern(uint64(i), 3000))
	}
	return f, hangs[1], up, data
}

// TestStuckLookUp: a look-up that is stuck alone, while its drive answers otherwise, is not waited for
// for ever.
func TestStuckLookUp(t *testing.T) {
	f, hang, up, _ := hungIndex(t, time.Hour, func(o *Options) { o.CommitLimit = time.Second })
	defer hang.Set(false)
	hang.Set(true)
	begun := time.Now()
	if _, parts, err := f.Upload(f.ctx(), f.bucket, "upload", up.ID); err != nil || len(parts) != 1 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	if took := time.Since(begun); took > 10*time.Second || hang.Waiting() == 0 {
		t.Errorf("that took %v, %d calls hang", took, hang.Waiting())
	}
}

// TestHungIndex: looking something up in the index of a drive that hangs is not waited for either, once
// the drive is known to.
func TestHungIndex(t *testing.T) {
	f, hang, up, data := hungIndex(t, time.Second, func(*Options) {})
	defer hang.Set(false)
	sick := f.opt.Drives(f.topo.Drives[1].ID)
	for name, look := range map[string]func() error{
		"list": func() error {
			page, err := f.List(f.ctx(), &ListRequest{Bucket: f.bucket, Limit: 1000})
			if err == nil && len(page.Entries) != 1000 {
				err = fmt.Errorf("%d entries", len(page.Entries))
			}
			return err
		},
		"uploads": func() error {
			_, err := f.ListUploads(f.ctx(), &ListUploadsRequest{Bucket: f.bucket, Limit: 10})
			return err
		},
		"upload": func() error {
			_, _, err := f.Upload(f.ctx(), f.bucket, "upload", up.ID)
			return err
		},
		"read": func() error {
			got, err := f.get("large", nil)
			if err == nil && !bytes.Equal(got, data) {
				err = errors.New("other bytes")
			}
			return err
		},
	} {
		hang.Set(true)
		begun := time.Now()
		for range 4 { // lists begin at another drive each time
			if err := look(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("%s: four of them took %v", name, took)
		}
		t.Logf("%s: %d calls hang after %v", name, hang.Waiting(), time.Since(begun))
		hang.Set(false)
		await.True(t, "the drive answers", func() bool { return sick.Health().State == drive.Online })
	}
}

// later is an empty body that comes when its channel is closed.
type later struct{ ch chan struct{} }

func (a later) Read([]byte) (int, error) {
	<-a.ch
	return 0, io.EOF
}
