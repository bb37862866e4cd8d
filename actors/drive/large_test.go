package drive_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
)

// forgeUploads opens uploads of parts parts each, none of which has data.
func (r *rig) forgeUploads(n, parts int) []object.WriteID {
	r.t.Helper()
	ids := make([]object.WriteID, n)
	for i := range ids {
		ids[i] = object.NewWriteID()
		up := &ondisk.Upload{ID: ids[i], TS: r.stamp(), Started: 1, Meta: ondisk.Version{Kind: ondisk.KindObject}}
		if err := r.a.PutUpload(context.Background(), r.target(), up); err != nil {
			r.t.Fatal(err)
		}
	}
	err := r.a.Forge(func(set func(key, value []byte)) {
		for _, id := range ids {
			for i := range parts {
				ts := r.stamp()
				p := ondisk.UploadPart{Part: ondisk.Part{
					Number: uint16(i%10000 + 1), Stored: 1 << 19, Write: object.NewWriteID(),
					Ref: ondisk.Ref{Set: testSet, OID: object.NewOID(ts), Length: 1 << 19},
				}, TS: ts}
				set(ondisk.AppendUploadPartKey(nil, key("up"), id, p.Number, object.VersionRef{TS: ts, Write: p.Write}), ondisk.AppendUploadPart(nil, &p))
			}
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func (r *rig) target() drive.Target {
	return drive.Target{Set: testSet, Epoch: 1, BucketRev: 1, Key: key("up")}
}

// TestManyAbortsAreSeveralBatches: what one message writes is not known before, so many that come at once must
// not become one batch that no record of the journal takes.
func TestManyAbortsAreSeveralBatches(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	r.o.Limits.BatchBytes = 128 << 10
	r.reopen()
	ids := r.forgeUploads(20, 3000) // 120 KiB of rows each, when they are dropped
	before, _ := r.a.Watermarks()
	release, err := r.a.HoldLoop(len(ids))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			if err := r.a.DropUpload(context.Background(), r.target(), id); err != nil {
				t.Error(err)
			}
		})
	}
	release()
	wg.Wait()
	if own, _ := r.a.Watermarks(); own < before+8 {
		t.Errorf("%d aborts were %d batches", len(ids), own-before)
	}
	for range 2 {
		for _, id := range ids {
			if _, _, err := r.a.GetUpload(context.Background(), key("up"), id); !errors.Is(err, drive.ErrNoUpload) {
				t.Errorf("upload %s: %v", id, err)
			}
		}
		r.reopen()
	}
}

// TestAnUploadOfManyPartsIsDroppedInPieces: parts that were sent again and again are more than one batch takes.
func TestAnUploadOfManyPartsIsDroppedInPieces(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	ids := r.forgeUploads(2, 45_000)
	before, _ := r.a.Watermarks()
	if err := r.a.DropUpload(context.Background(), r.target(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if own, _ := r.a.Watermarks(); own < before+3 {
		t.Errorf("it took %d batches", own-before)
	}
	list, err := r.a.ListUploads(context.Background(), testBucket, "", "", object.WriteID{}, 10)
	if err != nil || len(list) != 1 || list[0].Upload.ID != ids[1] {
		t.Fatalf("%v, %v", list, err)
	}
	_, parts, err := r.a.GetUpload(context.Background(), key("up"), ids[1])
	if err != nil || len(parts) != 45_000 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	if err := r.a.Fence(context.Background(), testBucket, 9, false, true); err != nil { // which purges the other
		t.Fatal(err)
	}
	r.waitNoUploads()
}

func (r *rig) waitNoUploads() {
	r.t.Helper()
	await.True(r.t, "no upload is left", func() bool {
		list, err := r.a.ListUploads(context.Background(), testBucket, "", "", object.WriteID{}, 10)
		return err == nil && len(list) == 0
	})
}

// TestControlStateThatNoBatchTakes is refused with its size, and the drive goes on.
func TestControlStateThatNoBatchTakes(t *testing.T) {
	r := newRig(t, vfs.NewMem(), "/d")
	row := make([]byte, 1<<20)
	put := map[string][]byte{}
	for i := range 129 {
		put[fmt.Sprint(i)] = row
	}
	if err := r.a.StoreControl(context.Background(), ondisk.ControlMeta{Index: 1}, put, nil); err == nil || errors.Is(err, drive.ErrFailed) {
		t.Errorf("129 MiB of control state: %v", err)
	}
	r.commit(r.version("k", "x"))
}
