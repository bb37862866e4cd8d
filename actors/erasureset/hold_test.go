package erasureset

import (
	"bytes"
	"errors"
	"testing"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/object"
)

// putParts stores an object of n parts and returns its bytes.
func (f *fixture) putParts(key string, n, size int) []byte {
	f.t.Helper()
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: key})
	if err != nil {
		f.t.Fatal(err)
	}
	done := &CompleteRequest{Bucket: f.bucket, Key: key, Upload: up.ID}
	var all []byte
	for i := range n {
		data := pattern(uint64(i), size)
		p, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: key, Upload: up.ID, Number: i + 1, Body: bytes.NewReader(data), Size: int64(size)})
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, data...)
		done.Parts = append(done.Parts, CompletedPart{Number: i + 1, ETag: p.ETag})
	}
	if _, err := f.Complete(f.ctx(), done); err != nil {
		f.t.Fatal(err)
	}
	return all
}

// pausing takes up to left bytes and then pauses the sender, or fails.
type pausing struct {
	bytes.Buffer
	left int
	err  error
}

func (w *pausing) Write(p []byte) (int, error) {
	n, _ := w.Buffer.Write(p[:min(len(p), w.left)])
	if w.left -= n; n < len(p) {
		return n, w.err
	}
	return n, nil
}

func (f *fixture) waitLive(want int64) {
	f.t.Helper()
	for _, d := range f.topo.Drives {
		a := f.opt.Drives(d.ID).(*drive.Actor)
		await.True(f.t, "the space is back", func() bool { return a.SegmentStats().Live == want })
	}
}

// TestManyPartsStayWhileTheyAreRead: an object of more parts than anybody would open beforehand is
// deleted while it is read. All of it arrives, and its space comes back when the readers are gone:
// one reads to the end, one vanishes, one never begins.
func TestManyPartsStayWhileTheyAreRead(t *testing.T) {
	const parts, size = 300, 40_000
	f := newLocalFixture(t, 4)
	data := f.putParts("k", parts, size)
	var handles [3]Handle
	for i := range handles {
		h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		handles[i] = h
	}
	slow, err := handles[0].Read(f.ctx(), rangeAll(handles[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	w := &pausing{left: size + 1, err: object.ErrPaused}
	if _, err := slow.WriteTo(w); !errors.Is(err, object.ErrPaused) {
		t.Fatal(err)
	}
	if err := f.del("k"); err != nil {
		t.Fatal(err)
	}
	// What is deleted later is given back: the reclaimer has passed by.
	f.mustPut("later", data[:size])
	later := f.opt.Drives(f.topo.Drives[0].ID).(*drive.Actor).SegmentStats().Live
	if err := f.del("later"); err != nil {
		t.Fatal(err)
	}
	await.True(t, "what was deleted later is given back", func() bool {
		return f.opt.Drives(f.topo.Drives[0].ID).(*drive.Actor).SegmentStats().Live < later
	})

	w.left = len(data)
	if _, err := slow.WriteTo(w); err != nil || !bytes.Equal(w.Bytes(), data) {
		t.Fatalf("%d of %d bytes arrived: %v", w.Len(), len(data), err)
	}
	if got := f.opt.Drives(f.topo.Drives[0].ID).(*drive.Actor).SegmentStats().Live; got == 0 {
		t.Fatal("nothing was held")
	}
	vanished, err := handles[1].Read(f.ctx(), rangeAll(handles[1]))
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("client went away")
	if _, err := vanished.WriteTo(&pausing{left: 3 * size, err: gone}); !errors.Is(err, gone) {
		t.Fatal(err)
	}
	slow.Close()
	vanished.Close()
	for _, h := range handles {
		h.Close()
	}
	f.waitLive(0)
}
