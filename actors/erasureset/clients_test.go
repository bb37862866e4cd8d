package erasureset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/actors/await"
	"holdfast/actors/object"
)

// Many clients on few keys: whoever reads sees a whole object that somebody wrote, and never one
// that is older than what had been acknowledged before the read began.
func TestClientsOfOneKey(t *testing.T) {
	t.Run("memory", func(t *testing.T) { clientsOfOneKey(t, newFixture(t, 4, nil)) })
	t.Run("local", func(t *testing.T) { clientsOfOneKey(t, newLocalFixture(t, 4)) })
}

func clientsOfOneKey(t *testing.T, f *fixture) {
	const writes, readers = 60, 4
	var acked atomic.Int64 // highest version acknowledged
	var wg sync.WaitGroup
	done := make(chan struct{})
	size := func(i int64) int { return []int{50, 3000, 9000, 300_000}[i%4] }
	f.mustPut("k", pattern(0, size(0)))
	wg.Go(func() {
		defer close(done)
		for i := int64(1); i <= writes; i++ {
			f.mustPut("k", pattern(uint64(i), size(i)))
			acked.Store(i)
		}
	})
	for range readers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				low := acked.Load()
				got, err := f.get("k", nil)
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				if v := whichPattern(got, low, writes, size); v < 0 {
					t.Errorf("%d bytes that nobody wrote since version %d", len(got), low)
					return
				}
				page, err := f.List(f.ctx(), &ListRequest{Bucket: f.bucket, Limit: 5})
				if err != nil || len(page.Entries) != 1 {
					t.Errorf("list: %+v, %v", page, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func whichPattern(got []byte, from, to int64, size func(int64) int) int64 {
	for i := from; i <= to; i++ {
		if size(i) == len(got) && bytes.Equal(pattern(uint64(i), size(i)), got) {
			return i
		}
	}
	return -1
}

func TestPartsInParallel(t *testing.T) {
	f := newFixture(t, 5, nil)
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "k", Meta: Info{ContentType: "video/mp4"}})
	if err != nil {
		t.Fatal(err)
	}
	const parts = 12
	req := &CompleteRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Parts: make([]CompletedPart, parts)}
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			for _, seed := range []int{99, i} { // each is uploaded twice, the second counts
				data := pattern(uint64(seed), 700_000+i)
				p, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Number: i + 1, Body: bytes.NewReader(data), Size: int64(len(data))})
				if err != nil {
					t.Errorf("part %d: %v", i, err)
					return
				}
				req.Parts[i] = CompletedPart{Number: i + 1, ETag: p.ETag}
			}
		})
	}
	wg.Wait()
	info, err := f.Complete(f.ctx(), req)
	if err != nil || info.Parts != parts || info.ContentType != "video/mp4" {
		t.Fatalf("%+v, %v", info, err)
	}
	var want []byte
	for i := range parts {
		want = append(want, pattern(uint64(i), 700_000+i)...)
	}
	f.mustGet("k", want)
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	st, err := h.Read(f.ctx(), object.Range{Start: 650_000, End: 4_000_000})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	// As the source of a copy a stream is read, not written.
	if got, err := io.ReadAll(io.LimitReader(st, 1<<40)); err != nil || !bytes.Equal(got, want[650_000:4_000_000]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for i, m := range f.mems {
		if _, u, _ := m.Rows(); u != 0 {
			t.Errorf("drive %d keeps the upload", i)
		}
	}
}

func TestCompleteChecksTheList(t *testing.T) {
	f := newFixture(t, 4, nil)
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	etags := map[int]string{}
	for _, n := range []int{1, 2, 5} {
		data := pattern(uint64(n), 1000*n)
		p, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Number: n, Body: bytes.NewReader(data), Size: int64(len(data))})
		if err != nil {
			t.Fatal(err)
		}
		etags[n] = p.ETag
	}
	part := func(n int) CompletedPart { return CompletedPart{Number: n, ETag: etags[n]} }
	refuse := errors.New("refused")
	for name, c := range map[string]struct {
		parts []CompletedPart
		min   int64
		cond  Condition
		want  error
	}{
		"empty":     {nil, 0, nil, object.ErrInvalidPart},
		"order":     {[]CompletedPart{part(2), part(1)}, 0, nil, object.ErrInvalidPartOrder},
		"twice":     {[]CompletedPart{part(1), part(1)}, 0, nil, object.ErrInvalidPartOrder},
		"absent":    {[]CompletedPart{part(1), {Number: 3, ETag: etags[1]}}, 0, nil, object.ErrInvalidPart},
		"etag":      {[]CompletedPart{{Number: 1, ETag: etags[2]}}, 0, nil, object.ErrInvalidPart},
		"small":     {[]CompletedPart{part(1), part(5)}, 1001, nil, object.ErrPartTooSmall},
		"condition": {[]CompletedPart{part(1)}, 0, func(*Info) error { return refuse }, refuse},
	} {
		if _, err := f.Complete(f.ctx(), &CompleteRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Parts: c.parts, MinPart: c.min, If: c.cond}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.mustMiss("k")
	if _, err := f.Complete(f.ctx(), &CompleteRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Parts: []CompletedPart{part(2), part(5)}, MinPart: 2000}); err != nil {
		t.Fatal(err) // the last part may be of any size
	}
	f.mustGet("k", append(pattern(2, 2000), pattern(5, 5000)...))
	f.mustPut("k", []byte("over it"))
	if _, err := f.Complete(f.ctx(), &CompleteRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Parts: []CompletedPart{part(2)}}); !errors.Is(err, object.ErrNoUpload) {
		t.Errorf("completed again behind an overwrite: %v", err)
	}
	f.mustGet("k", []byte("over it"))
}

func TestUploadSurvivesDrivesThatTakeTurns(t *testing.T) {
	f := newFixture(t, 4, nil)
	f.mems[0].SetOffline(true)
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	f.mems[0].SetOffline(false)
	f.mems[1].SetOffline(true)
	f.restart()
	data := pattern(1, 100_000)
	p, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Number: 1, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	f.mems[1].SetOffline(false)
	f.mems[2].SetOffline(true)
	req := &CompleteRequest{Bucket: f.bucket, Key: "k", Upload: up.ID, Parts: []CompletedPart{{Number: 1, ETag: p.ETag}}}
	if _, err := f.Complete(f.ctx(), req); err != nil {
		t.Fatal(err)
	}
	f.mems[2].SetOffline(false)
	f.mustGet("k", data)
	f.marks.flush()
	// One drive missed the part and another the completion: two have shards of the version until it is healed.
	await.True(t, "the debts are known and paid", func() bool { return f.HealDebts(f.ctx(), 0) > 0 })
	for _, m := range f.mems { // the drive that missed the completion still has the upload; nobody is fooled
		if _, _, err := f.Upload(f.ctx(), f.bucket, "k", up.ID); !errors.Is(err, object.ErrNoUpload) {
			t.Errorf("upload: %v", err)
		}
		m.SetOffline(true)
		f.mustGet("k", data)
		m.SetOffline(false)
	}
	if err := f.del("k"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Complete(f.ctx(), req); !errors.Is(err, object.ErrNoUpload) {
		t.Errorf("a ghost became an object: %v", err)
	}
	f.mustMiss("k")
}

// TestReplacedWhileRead: what a handle reads stays until it is closed, if the drives that keep it do.
func TestReplacedWhileRead(t *testing.T) {
	f := newFixture(t, 4, func(o *Options) { o.HedgeAfter = time.Minute }) // or others are asked, too
	data := pattern(1, 100_000)
	f.mustPut("k", data)
	f.marks.flush() // so that k drives are enough for Open
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	f.mustPut("k", pattern(2, 10))
	f.marks.flush()
	for i := range 2 { // those that were asked for the object
		f.slot("k", i).SetOffline(true)
		defer f.slot("k", i).SetOffline(false)
	}
	if _, err := h.Read(f.ctx(), rangeAll(h)); !errors.Is(err, object.ErrReplaced) {
		t.Errorf("read of an object that is gone: %v", err)
	}
}

func ExampleStore_List() {
	fmt.Println(startAfter("a/", "/", "a/b/"))
	// Output: a/b0 true
}
