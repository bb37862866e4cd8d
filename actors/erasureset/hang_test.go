package erasureset

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
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
		o.FS = errorfs.Wrap(vfs.NewMem(), hang)
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
