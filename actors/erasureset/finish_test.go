package erasureset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"holdfast/actors/await"
	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
)

// TestTwoFinishOneVersion: of two coordinators that code the shards of an unfinished version anew the
// slower one must not take away what the other has brought.
func TestTwoFinishOneVersion(t *testing.T) {
	f := newFixture(t, 4, nil)
	other, err := New(f.opt)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	data := pattern(1, 20_000)
	for i := range 2 {
		f.slot("k", 2+i).Before(failOn(drive.ErrFailed, drivetest.OpCommit, drivetest.OpKill))
	}
	if _, err := f.put("k", data); !errors.Is(err, object.ErrWriteQuorum) {
		t.Fatalf("put on two drives of four: %v", err)
	}
	f.slot("k", 2).SetOffline(true) // which may have it, too, as far as others know
	var held atomic.Bool
	begun, goOn := make(chan struct{}), make(chan struct{})
	f.slot("k", 3).Before(func(_ context.Context, op drivetest.Op) error {
		if op == drivetest.OpStage && held.CompareAndSwap(false, true) {
			close(begun)
			<-goOn
		}
		return nil
	})
	slow := make(chan error, 1)
	go func() {
		_, err := f.Store.settle(f.ctx(), f.target(&f.bucket, "k"))
		slow <- err
	}()
	<-begun
	got := &fixture{Store: other, t: t, bucket: f.bucket}
	got.mustGet("k", data)
	close(goOn)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	other.marks.flush()
	f.marks.flush()
	f.slot("k", 0).SetOffline(true)
	f.mustGet("k", data) // with the shard that both have coded
}

// upload opens an upload of one part.
func (f *fixture) upload(key string, data []byte) *CompleteRequest {
	f.t.Helper()
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: key})
	if err != nil {
		f.t.Fatal(err)
	}
	return &CompleteRequest{Bucket: f.bucket, Key: key, Upload: up.ID, Parts: []CompletedPart{f.part(key, up.ID, 1, data)}}
}

func (f *fixture) part(key string, up object.WriteID, number int, data []byte) CompletedPart {
	f.t.Helper()
	p, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: key, Upload: up, Number: number, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil {
		f.t.Fatal(err)
	}
	return CompletedPart{Number: number, ETag: p.ETag}
}

// TestHalfAbortedUpload: an abort that came to half of the drives has not happened, and nobody may be
// told that it has while one of the others is silent.
func TestHalfAbortedUpload(t *testing.T) {
	f := newFixture(t, 4, nil)
	req := f.upload("k", pattern(1, 100))
	for i := range 2 {
		f.slot("k", i).Before(failOn(drive.ErrFailed, drivetest.OpDropUpload))
	}
	if err := f.Abort(f.ctx(), f.bucket, "k", req.Upload); !errors.Is(err, object.ErrWriteQuorum) {
		t.Fatalf("abort on two of four drives: %v", err)
	}
	f.slot("k", 0).Before(failOn(drive.ErrFailed, drivetest.OpGetUpload))
	f.slot("k", 1).Before(nil)
	if _, err := f.Complete(f.ctx(), req); !errors.Is(err, object.ErrReadQuorum) {
		t.Errorf("complete with one of two holders: %v", err)
	}
	if _, _, err := f.Upload(f.ctx(), f.bucket, "k", req.Upload); !errors.Is(err, object.ErrReadQuorum) {
		t.Errorf("upload with one of two holders: %v", err)
	}
	f.slot("k", 0).Before(nil)
	if _, err := f.Complete(f.ctx(), req); err != nil {
		t.Error(err)
	}
	f.mustGet("k", pattern(1, 100))
}

// TestHalfCompletedUpload: an upload behind a completion that is in doubt is not gone.
func TestHalfCompletedUpload(t *testing.T) {
	for holders := range 4 {
		t.Run(fmt.Sprint(holders), func(t *testing.T) {
			f := newFixture(t, 4, nil)
			data := pattern(1, 100_000)
			req := f.upload("k", data)
			for i := range 4 {
				which := []drivetest.Op{drivetest.OpKill}
				if i >= holders {
					which = append(which, drivetest.OpCommit)
				}
				f.slot("k", i).Before(failOn(drive.ErrFailed, which...))
			}
			_, err := f.Complete(f.ctx(), req)
			if (err == nil) != (holders == 3) {
				t.Fatalf("complete on %d of four drives: %v", holders, err)
			}
			for i := range 4 {
				f.slot("k", i).Before(nil)
			}
			_, _, err = f.Upload(f.ctx(), f.bucket, "k", req.Upload)
			if gone := errors.Is(err, object.ErrNoUpload); err != nil && !gone {
				t.Fatal(err)
			} else if gone {
				f.mustGet("k", data)
			} else {
				f.mustMiss("k")
			}
			if _, err := f.Complete(f.ctx(), req); err != nil {
				t.Fatal(err)
			}
			f.mustGet("k", data)
		})
	}
}

// TestUploadOfAnotherKey: one write id never comes to two keys, by which drives tell versions apart.
func TestUploadOfAnotherKey(t *testing.T) {
	f := newFixture(t, 4, nil)
	req := *f.upload("k", pattern(1, 100))
	req.Key = "other"
	if _, err := f.Complete(f.ctx(), &req); !errors.Is(err, object.ErrNoUpload) {
		t.Errorf("complete under another key: %v", err)
	}
	req.Key = "k"
	if _, err := f.Complete(f.ctx(), &req); err != nil {
		t.Error(err)
	}
}

// TestPromisesOfAnEarlierLife: what drives remember of ballots whose coordinator is gone bars nobody,
// and goes with the key.
func TestPromisesOfAnEarlierLife(t *testing.T) {
	f := newFixture(t, 4, nil)
	absent := func(cur *Info) error {
		if cur != nil {
			return object.ErrPrecondition
		}
		return nil
	}
	put := func(body string) error {
		_, err := f.Put(f.ctx(), &PutRequest{Bucket: f.bucket, Key: "k", Body: strings.NewReader(body), Size: int64(len(body)), If: absent})
		return err
	}
	if err := put("one"); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if err := put("two"); !errors.Is(err, object.ErrPrecondition) {
		t.Errorf("second conditional put: %v", err)
	}
	f.restart()
	f.mustPut("k", []byte("three"))
	f.mustGet("k", []byte("three"))
	if err := f.del("k"); err != nil {
		t.Fatal(err)
	}
	f.marks.flush()
	await.True(t, "the tombstone is collected", func() bool {
		f.CollectTombstones(f.ctx())
		for _, m := range f.mems {
			if s := m.KeyState(object.Key{Bucket: f.bucket.ID, Name: "k"}); !s.Empty() {
				return false
			}
		}
		return true
	})
	if err := put("four"); err != nil {
		t.Error(err)
	}
}

// TestHealMultipart: a drive that missed parts and the completion is brought both.
func TestHealMultipart(t *testing.T) {
	for _, kind := range []string{"memory", "local"} {
		t.Run(kind, func(t *testing.T) {
			var f *fixture
			if kind == "memory" {
				f = newFixture(t, 4, nil)
			} else {
				f = newLocalFixture(t, 4)
			}
			one, two, three := pattern(1, 200_000), pattern(2, 500_000), pattern(3, 700)
			req := f.upload("k", one)
			missed := -1
			for i, d := range f.topo.Drives {
				if d.ID == f.topo.Sets[f.target(&f.bucket, "k").id].Members[3] {
					missed = i
				}
			}
			f.setOffline(missed, true)
			req.Parts = append(req.Parts, f.part("k", req.Upload, 2, two), f.part("k", req.Upload, 3, three))
			if _, err := f.Complete(f.ctx(), req); err != nil {
				t.Fatal(err)
			}
			f.marks.flush()
			f.setOffline(missed, false)
			await.True(t, "the debt is known and paid", func() bool { return f.HealDebts(f.ctx(), 0) > 0 })
			await.True(t, "the debt is forgotten", func() bool { return f.HealDebts(f.ctx(), 0) == 0 })
			tg := f.target(&f.bucket, "k")
			if _, _, err := tg.drives[3].GetUpload(f.ctx(), tg.key, req.Upload); !errors.Is(err, drive.ErrNoUpload) {
				t.Errorf("the upload is left on the drive that missed its completion: %v", err)
			}
			for _, i := range []int{1, 2} {
				for j := range f.topo.Drives {
					if f.topo.Drives[j].ID == tg.set.Members[i] {
						f.setOffline(j, true)
					}
				}
			}
			want := append(append(append([]byte(nil), one...), two...), three...)
			f.mustGet("k", want)
		})
	}
}
