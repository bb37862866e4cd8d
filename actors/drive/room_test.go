package drive_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// statfsRig is a drive whose file system says that so many bytes are free, or hangs when it is asked.
func statfsRig(t *testing.T) (r *rig, free *atomic.Int64, hang func()) {
	t.Helper()
	mem := vfs.NewMem()
	if err := drive.FormatOn(mem, "/d", testLabel()); err != nil {
		t.Fatal(err)
	}
	free = &atomic.Int64{}
	free.Store(1 << 40)
	var gate atomic.Pointer[chan struct{}]
	r = &rig{t: t, o: drive.Options{
		Path: "/d", FS: mem, Label: testLabel(), MemTable: 1 << 20, MinReserve: 1 << 30,
		Usage: func() (int64, int64, error) {
			if g := gate.Load(); g != nil {
				<-*g
			}
			return 1 << 40, free.Load(), nil
		},
	}}
	r.open()
	ch := make(chan struct{})
	t.Cleanup(func() { close(ch); r.a.Close() })
	return r, free, func() { gate.Store(&ch) }
}

// TestHealthNeverWaits: what a drive is asked for in the way of every operation is answered from what
// is known, also when it comes close to its reserve and its file system does not say how much is left.
func TestHealthNeverWaits(t *testing.T) {
	r, free, hang := statfsRig(t)
	w, err := r.a.Stage(context.Background(), drive.StageRequest{OID: object.NewOID(r.stamp()), Write: object.NewWriteID(), Frame: 1 << 20, Size: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	free.Store(1<<30 + 3<<20)
	await.True(t, "the drive knows", func() bool { return r.a.Health().Free <= 1<<30+3<<20 })
	hang()
	for range 6 {
		if err := w.WriteFrame(context.Background(), make([]byte, ondisk.FrameHeaderRoom+1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if h := r.a.Health(); h.State != drive.Online || h.Full {
			t.Errorf("health %+v", h)
		}
		if started, err := r.a.Start(r.version("k", "x").Request(), nil, 0); started || err != nil {
			t.Errorf("a commit that may have to wait for room was started: %v, %v", started, err)
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it waits for the file system")
	}
	w.Abort()
}

// TestWhoStopsWaitingForRoom: a caller that leaves is not told that the drive is full.
func TestWhoStopsWaitingForRoom(t *testing.T) {
	r, free, _ := statfsRig(t)
	v := r.version("k", "x")
	r.commit(v)
	free.Store(1 << 20)
	await.True(t, "the drive is full", func() bool { return r.a.Health().Full })
	r.commit(r.tombstone("k")) // raises hope for a second
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := r.a.Stage(ctx, drive.StageRequest{OID: object.NewOID(r.stamp()), Write: object.NewWriteID(), Frame: 1 << 20, Size: 1 << 20})
	if !errors.Is(err, context.Canceled) || errors.Is(err, drive.ErrFull) {
		t.Errorf("stage: %v", err)
	}
	if _, err := r.a.Stage(context.Background(), drive.StageRequest{OID: object.NewOID(r.stamp()), Write: object.NewWriteID(), Frame: 1 << 20, Size: 1 << 20}); !errors.Is(err, drive.ErrFull) {
		t.Errorf("stage of one who waits: %v", err)
	}
}
