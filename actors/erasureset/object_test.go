package erasureset

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/object"
)

// sizes around every border: inline, one stripe, one row, several rows.
func sizes(n int) []int {
	k := max(1, n/2)
	inline, stripe := k*2048, k<<18
	row := stripe * 4
	return []int{0, 1, 2, k, 4096, inline - 1, inline, inline + 1, 65537, stripe - 1, stripe, stripe + 1, row - 1, row, row + 1, 2*row + 12345}
}

func TestPutGetEverySize(t *testing.T) {
	eachGeometry(t, func(t *testing.T, n int) {
		f := newFixture(t, n, nil)
		for _, size := range sizes(n) {
			key := fmt.Sprintf("size/%d", size)
			data := pattern(uint64(n), size)
			f.mustPut(key, data)
			f.mustGet(key, data)
			for i := range 6 {
				from := rand.Int64N(int64(size) + 1)
				to := from + rand.Int64N(int64(size)-from+1)
				if i == 0 {
					from, to = int64(size/2), int64(min(size, size/2+1))
				}
				got, err := f.get(key, &object.Range{Start: from, End: to})
				if err != nil || !bytes.Equal(got, data[from:to]) {
					t.Fatalf("size %d range %d-%d: %d bytes, %v", size, from, to, len(got), err)
				}
			}
		}
	})
}

func TestReadsAroundEveryLossUpToM(t *testing.T) {
	eachGeometry(t, func(t *testing.T, n int) {
		f := newFixture(t, n, nil)
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		m := 0
		if n > 1 {
			m = n &^ 1 / 2
		}
		for round, size := range sizes(n) {
			key := fmt.Sprintf("k%d", size)
			data := pattern(3, size)
			f.mustPut(key, data)
			f.marks.flush()
			lost := rng.Perm(n)[:m]
			for _, i := range lost {
				switch round % 3 {
				case 0:
					f.mems[i].SetOffline(true)
				case 1:
					for _, id := range f.mems[i].OIDs() {
						f.mems[i].DamageShard(id, 0)
					}
				case 2:
					f.mems[i].LoseShards()
				}
			}
			f.mustGet(key, data)
			for _, i := range lost {
				f.mems[i].SetOffline(false)
			}
			if round%3 != 0 { // damage stays: begin afresh
				f.mustPut(key, data)
			}
		}
	})
}

func TestOverwriteDeleteAndAbsence(t *testing.T) {
	eachGeometry(t, func(t *testing.T, n int) {
		// However slow the machine: what is collected are tombstones that all drives took in time.
		f := newFixture(t, n, func(o *Options) { o.StragglerLimit = time.Minute })
		f.mustMiss("a")
		f.mustPut("a", pattern(1, 10))
		f.mustPut("a", pattern(2, 100_000))
		f.mustGet("a", pattern(2, 100_000))
		if err := f.del("a"); err != nil {
			t.Fatal(err)
		}
		f.mustMiss("a")
		if err := f.del("never"); err != nil {
			t.Fatal(err)
		}
		f.mustPut("a", pattern(3, 5))
		f.mustGet("a", pattern(3, 5))
		if err := f.del("a"); err != nil {
			t.Fatal(err)
		}
		if got := f.CollectTombstones(f.ctx()); got < 2 {
			t.Errorf("%d tombstones collected", got)
		}
		for i, m := range f.mems {
			if v, u, s := m.Rows(); v+u+s != 0 {
				t.Errorf("drive %d keeps %d versions, %d uploads, %d shards", i, v, u, s)
			}
		}
	})
}

// Finish sees the ETag and, if it was asked for, the SHA-256 of bodies of every size.
func TestDigestsOfEverySize(t *testing.T) {
	f := newFixture(t, 4, nil)
	for _, size := range sizes(4) {
		data := pattern(9, size)
		etag := md5.Sum(data)
		for _, sum := range []*[sha256.Size]byte{nil, new([sha256.Size]byte)} {
			_, err := f.Put(f.ctx(), &PutRequest{
				Bucket: f.bucket, Key: "k", Body: bytes.NewReader(data), Size: int64(size), SHA256: sum,
				Finish: func(v *Info) error {
					if v.ETag != hex.EncodeToString(etag[:]) {
						t.Errorf("%d bytes: ETag %s", size, v.ETag)
					}
					if sum != nil && *sum != sha256.Sum256(data) {
						t.Errorf("%d bytes: SHA-256 %x", size, *sum)
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBrokenBodiesLeaveNothing(t *testing.T) {
	f := newFixture(t, 4, nil)
	reset := errors.New("connection reset")
	for _, size := range []int{100, 4096, 100_000, 3 << 20} {
		data := pattern(4, size)
		for name, body := range map[string]io.Reader{
			"short": bytes.NewReader(data[:size-1]),
			"long":  bytes.NewReader(append(data[:size:size], 1)),
			"reset": cut{bytes.NewReader(data[:size/2]), reset},
			"late":  cut{bytes.NewReader(data), io.ErrUnexpectedEOF}, // all bytes, but the chunk's end is missing
		} {
			_, err := f.Put(f.ctx(), &PutRequest{Bucket: f.bucket, Key: "k", Body: body, Size: int64(size)})
			switch {
			case err == nil:
				t.Errorf("%s body of %d bytes was taken", name, size)
			case (name == "short" || name == "late") && !errors.Is(err, io.ErrUnexpectedEOF), name == "reset" && !errors.Is(err, reset):
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	refused := errors.New("digest")
	_, err := f.Put(f.ctx(), &PutRequest{Bucket: f.bucket, Key: "k", Body: bytes.NewReader(pattern(1, 70_000)), Size: 70_000,
		Finish: func(*Info) error { return refused }})
	if !errors.Is(err, refused) {
		t.Error(err)
	}
	f.mustMiss("k")
	for i, m := range f.mems {
		if v, u, s := m.Rows(); v+u+s != 0 {
			t.Errorf("drive %d keeps %d versions, %d uploads, %d shards", i, v, u, s)
		}
	}
}

func TestConditionsAreJudgedAtTheCommit(t *testing.T) {
	f := newFixture(t, 4, nil)
	ifAbsent := func(cur *Info) error {
		if cur != nil {
			return object.ErrPrecondition
		}
		return nil
	}
	const writers = 8
	won := make(chan bool, writers)
	for i := range writers {
		go func() {
			data := pattern(uint64(i), 3000*(i%3)+1) // inline and streamed
			_, err := f.Put(f.ctx(), &PutRequest{Bucket: f.bucket, Key: "one", Body: bytes.NewReader(data), Size: int64(len(data)), If: ifAbsent})
			if err != nil && !errors.Is(err, object.ErrPrecondition) {
				t.Error(err)
			}
			won <- err == nil
		}()
	}
	winners := 0
	for range writers {
		if <-won {
			winners++
		}
	}
	if winners != 1 { // I14
		t.Errorf("%d of %d won", winners, writers)
	}
}

func TestQuorumErrorsTellTheTruth(t *testing.T) {
	f := newFixture(t, 4, nil)
	f.mustPut("old", pattern(1, 5000))
	f.marks.flush()
	f.mems[0].SetOffline(true)
	f.mustPut("one-down", pattern(2, 5000))
	f.marks.flush()
	f.mems[1].SetOffline(true)
	for _, size := range []int{10, 5000, 3 << 20} {
		if _, err := f.put("two-down", pattern(3, size)); !errors.Is(err, object.ErrWriteQuorum) {
			t.Errorf("put of %d: %v", size, err)
		}
	}
	if err := f.del("old"); !errors.Is(err, object.ErrWriteQuorum) {
		t.Errorf("delete: %v", err)
	}
	f.mustGet("old", pattern(1, 5000))
	f.mustGet("one-down", pattern(2, 5000))
	f.mustMiss("two-down")
	f.mems[2].SetOffline(true)
	if _, err := f.get("old", nil); !errors.Is(err, object.ErrReadQuorum) {
		t.Errorf("get with three down: %v", err)
	}
	for _, m := range f.mems {
		m.SetOffline(false)
	}
	f.mustGet("old", pattern(1, 5000))
	f.mems[0].SetFull(true)
	f.mustPut("one-full", pattern(1, 5000))
	f.mems[1].SetFull(true)
	if _, err := f.put("two-full", pattern(1, 5000)); !errors.Is(err, object.ErrStorageFull) {
		t.Errorf("put with two full: %v", err)
	}
	if err := f.del("old"); err != nil {
		t.Errorf("a full store must delete: %v", err)
	}
}

func TestWriteThatFailsHalfwayLeavesTheOldObject(t *testing.T) {
	f := newFixture(t, 4, nil)
	old := pattern(1, 5000)
	f.mustPut("k", old)
	for _, size := range []int{100, 5000} {
		for i := range 2 { // they look healthy and refuse every commit with an error that means nothing was done
			f.mems[i].Before(failOn(drive.ErrOffline, drivetestCommit))
		}
		if _, err := f.put("k", pattern(2, size)); !errors.Is(err, object.ErrWriteQuorum) {
			t.Fatal(err)
		}
		f.mustGet("k", old)
		for i := range 2 { // failed: the drives may hold it
			f.mems[i].Before(nil)
			f.mems[i].After(failOn(drive.ErrFailed, drivetestCommit))
		}
		f.mustPut("k", pattern(3, size)) // asked to swear that they never will, they say that they do
		for i := range 2 {
			f.mems[i].After(nil)
		}
		f.mustGet("k", pattern(3, size))
		f.mustPut("k", old)
	}
}
