package erasureset

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"holdfast/actors/object"
)

// moody takes a random piece of some Writes only and pauses the sender.
type moody struct {
	bytes.Buffer
	rng    *rand.Rand
	pauses int
}

func (m *moody) Write(p []byte) (int, error) {
	if m.rng.IntN(3) > 0 {
		return m.Buffer.Write(p)
	}
	m.pauses++
	n, _ := m.Buffer.Write(p[:m.rng.IntN(len(p)+1)])
	return n, object.ErrPaused
}

// TestPausedBodyHoldsNothingAndGoesOn: wherever a body is paused, all buffers are back, and what
// follows is what was not taken.
func TestPausedBodyHoldsNothingAndGoesOn(t *testing.T) {
	f := newFixture(t, 4, nil)
	objects := map[string][]byte{"inline": pattern(1, 3000), "rows": pattern(2, 23<<20+77), "parts": nil}
	f.mustPut("inline", objects["inline"])
	f.mustPut("rows", objects["rows"])
	up, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "parts"})
	if err != nil {
		t.Fatal(err)
	}
	done := &CompleteRequest{Bucket: f.bucket, Key: "parts", Upload: up.ID}
	for i, size := range []int{5 << 20, 1, 3<<20 + 5, 700} {
		data := pattern(uint64(i), size)
		p, err := f.PutPart(f.ctx(), &PartRequest{Bucket: f.bucket, Key: "parts", Upload: up.ID, Number: i + 1, Body: bytes.NewReader(data), Size: int64(size)})
		if err != nil {
			t.Fatal(err)
		}
		objects["parts"] = append(objects["parts"], data...)
		done.Parts = append(done.Parts, CompletedPart{Number: i + 1, ETag: p.ETag})
	}
	if _, err := f.Complete(f.ctx(), done); err != nil {
		t.Fatal(err)
	}
	for key, want := range objects {
		for seed := range uint64(8) {
			h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: key})
			if err != nil {
				t.Fatal(err)
			}
			st, err := h.Read(f.ctx(), object.Range{Start: int64(seed), End: int64(len(want))})
			if err != nil {
				t.Fatal(err)
			}
			w := &moody{rng: rand.New(rand.NewPCG(seed, 1))}
			for err = object.ErrPaused; errors.Is(err, object.ErrPaused); {
				if _, err = st.WriteTo(w); errors.Is(err, object.ErrPaused) && f.slabs.Stats().InUse != 0 {
					t.Fatalf("%s, seed %d: a paused body holds %+v", key, seed, f.slabs.Stats())
				}
			}
			if err != nil || !bytes.Equal(w.Bytes(), want[seed:]) {
				t.Errorf("%s, seed %d: %d of %d bytes behind %d pauses: %v", key, seed, w.Len(), len(want), w.pauses, err)
			}
			st.Close()
			h.Close()
		}
	}
}
