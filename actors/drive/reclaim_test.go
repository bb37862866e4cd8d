package drive_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// putParts uploads n parts of size bytes each and completes them as one object.
func (r *rig) putParts(name string, n, size int) *drivetest.Commit {
	r.t.Helper()
	ctx := context.Background()
	at := drive.Target{Set: testSet, Epoch: 1, BucketRev: 1, Key: key(name)}
	up := &ondisk.Upload{ID: object.NewWriteID(), TS: r.stamp(), Started: 1, Meta: ondisk.Version{Kind: ondisk.KindObject}}
	if err := r.a.PutUpload(ctx, at, up); err != nil {
		r.t.Fatal(err)
	}
	parts := make([]ondisk.Part, n)
	first := r.stamp()
	r.last += object.Stamp(n)
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := worker; i < n; i += 32 {
				ts := first + object.Stamp(i)
				p := ondisk.UploadPart{Part: ondisk.Part{
					Number: uint16(i + 1), Size: int64(2 * size), Stored: int64(2 * size), ETag: "0123456789abcdef0123456789abcdef",
					Write: object.NewWriteID(), Ref: ondisk.Ref{Set: testSet, OID: object.NewOID(ts), Length: int64(2 * size)},
				}, TS: ts, Slot: 2, N: 4, K: 2, Unit: 256 << 10, Frame: 256 << 10}
				var err error
				if size > 0 {
					err = r.stagePart(ctx, &p, pattern(size, byte(i)))
				} else {
					p.Ref = ondisk.Ref{} // it has no shards
				}
				if err == nil {
					err = r.a.PutPart(ctx, at, up.ID, &p, nil)
				}
				if err != nil {
					r.t.Errorf("part %d: %v", i, err)
					return
				}
				parts[i] = p.Part
			}
		})
	}
	wg.Wait()
	oid := object.NewOID(r.stamp())
	v := &ondisk.Version{Kind: ondisk.KindObject, N: 4, K: 2, Unit: 256 << 10, Frame: 256 << 10,
		Size: int64(2 * size * n), Stored: int64(2 * size * n), Parts: uint32(n),
		ETag: "0123456789abcdef0123456789abcdef-9", Refs: []ondisk.Ref{{Set: testSet, OID: oid, Length: int64(2 * size * n)}}}
	c := r.commitOf(name, v, r.stamp(), oid, nil)
	c.Parts, c.Upload = parts, up.ID
	r.commit(c)
	r.mark(c)
	return c
}

func (r *rig) stagePart(ctx context.Context, p *ondisk.UploadPart, payload []byte) error {
	w, err := r.a.Stage(ctx, drive.StageRequest{OID: p.Ref.OID, Write: p.Write, Frame: 256 << 10, Size: int64(len(payload))})
	if err == nil {
		err = w.WriteFrame(ctx, append(make([]byte, ondisk.FrameHeaderRoom), payload...))
	}
	if err == nil {
		err = w.Sync(ctx)
	}
	return err
}

// TestReclaimingPartsGoesOnAfterACrash: the space of an object's parts comes back although the power
// fails half way. TestFiveTiBComeBackAfterTwoKills does it at full size, with kills.
func TestReclaimingPartsGoesOnAfterACrash(t *testing.T) {
	const parts = 2000
	mem := vfs.NewCrashableMem()
	r := newRig(t, mem, "/d")
	c := r.putParts("huge", parts, 500)
	if table, err := r.a.Parts(context.Background(), c.OID); err != nil || len(table) != parts {
		t.Fatalf("%d parts, %v", len(table), err)
	}
	before := r.a.SegmentStats().Live
	d := r.tombstone("huge")
	r.commit(d)
	r.mark(d)
	await.True(t, "a quarter of the space is back", func() bool { return r.a.SegmentStats().Live <= before*3/4 })
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	if live := r.a.SegmentStats().Live; live == 0 {
		t.Log("the job was done before the crash")
	}
	after := &rig{t: t, o: r.o}
	after.o.FS = clone
	after.open()
	defer func() { after.a.Close() }()
	after.waitSpace(0)
	after.waitGone(c.Parts[parts-1].Ref.OID)
	if _, err := after.a.Parts(context.Background(), c.OID); !errors.Is(err, drive.ErrNoShard) {
		// The table goes with the last step, after the data.
		after.waitTable(c.OID)
	}
}

func (r *rig) waitTable(oid object.OID) {
	r.t.Helper()
	await.True(r.t, "the part table is gone", func() bool {
		_, err := r.a.Parts(context.Background(), oid)
		return errors.Is(err, drive.ErrNoShard)
	})
}
