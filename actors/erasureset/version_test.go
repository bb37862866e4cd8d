package erasureset

import (
	"errors"
	"testing"

	"holdfast/actors/object"
	"holdfast/raftfsm/cluster"
)

// versioning switches the bucket's, as the control plane does; the drives learn of it with the next request.
func (f *fixture) versioning(to string) {
	f.bucket.Versioning = to
	f.bucket.Revision++
}

func (f *fixture) getVersion(key string, id object.VersionID) ([]byte, error) {
	h, err := f.Open(f.ctx(), &OpenRequest{Bucket: f.bucket, Key: key, Version: id})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	st, err := h.Read(f.ctx(), rangeAll(h))
	if err != nil {
		return nil, err
	}
	defer st.Close()
	b := make([]byte, h.Info().Size)
	return b, readBody(st, b)
}

func (f *fixture) wantVersion(key string, id object.VersionID, want []byte) {
	f.t.Helper()
	if got, err := f.getVersion(key, id); err != nil || string(got) != string(want) {
		f.t.Errorf("version %q of %q: %d bytes, want %d: %v", id, key, len(got), len(want), err)
	}
}

func (f *fixture) remove(key string, id object.VersionID) Deleted {
	f.t.Helper()
	d, err := f.Delete(f.ctx(), &DeleteRequest{Bucket: f.bucket, Key: key, Version: id})
	if err != nil {
		f.t.Fatalf("delete %q of %q: %v", id, key, err)
	}
	return d
}

func (f *fixture) wantMarker(key string, at, marker object.VersionID) {
	f.t.Helper()
	_, err := f.getVersion(key, at)
	var m *MarkerError
	if !errors.As(err, &m) || m.Version != marker || !errors.Is(err, object.ErrNotFound) {
		f.t.Errorf("get %q of %q: %v, want the marker %q", at, key, err, marker)
	}
}

func TestVersions(t *testing.T) {
	for _, n := range []int{1, 4} {
		f := newFixture(t, n, nil)
		none := object.VersionID{}
		first := f.mustPut("k", pattern(1, 100))
		if first.ID() != object.NullVersion {
			t.Errorf("a version of an unversioned bucket is called %q", first.ID())
		}
		f.versioning(cluster.VersioningEnabled)
		v2, v3 := f.mustPut("k", pattern(2, 20_000)), f.mustPut("k", pattern(3, 300))
		f.marks.flush()
		f.mustGet("k", pattern(3, 300))
		f.wantVersion("k", object.NullVersion, pattern(1, 100))
		f.wantVersion("k", v2.ID(), pattern(2, 20_000))
		f.wantVersion("k", v3.ID(), pattern(3, 300))

		d := f.remove("k", none)
		if !d.Marker || !d.Version.Named || d.Version.Null {
			t.Errorf("delete: %+v", d)
		}
		f.wantMarker("k", none, d.Version)
		f.wantMarker("k", d.Version, d.Version)
		f.wantVersion("k", v3.ID(), pattern(3, 300))
		if page, err := f.List(f.ctx(), &ListRequest{Bucket: f.bucket, Limit: 10}); err != nil || len(page.Entries) != 0 {
			t.Errorf("list behind a marker: %+v, %v", page, err)
		}
		if got := f.remove("k", d.Version); !got.Marker || got.Version != d.Version {
			t.Errorf("delete of a marker: %+v", got)
		}
		f.mustGet("k", pattern(3, 300))
		if got := f.remove("k", v3.ID()); got.Marker || got.Version != v3.ID() {
			t.Errorf("delete of a version: %+v", got)
		}
		f.mustGet("k", pattern(2, 20_000))
		if _, err := f.getVersion("k", v3.ID()); !errors.Is(err, object.ErrNoVersion) {
			t.Errorf("a removed version: %v", err)
		}
		f.remove("k", v3.ID()) // is not there any more

		f.versioning(cluster.VersioningSuspended)
		if v := f.mustPut("k", pattern(4, 40)); v.ID() != object.NullVersion {
			t.Errorf("a version of a suspended bucket is called %q", v.ID())
		}
		f.marks.flush()
		f.wantVersion("k", object.NullVersion, pattern(4, 40)) // and the first is gone
		d = f.remove("k", none)
		if !d.Marker || d.Version != object.NullVersion {
			t.Errorf("delete while suspended: %+v", d)
		}
		f.wantMarker("k", none, object.NullVersion)
		f.wantVersion("k", v2.ID(), pattern(2, 20_000))
		f.remove("k", object.NullVersion)
		f.mustGet("k", pattern(2, 20_000))
		f.remove("k", v2.ID())
		f.mustMiss("k")
		if page, err := f.List(f.ctx(), &ListRequest{Bucket: f.bucket, Limit: 10}); err != nil || len(page.Entries) != 0 {
			t.Errorf("list: %+v, %v", page, err)
		}
		f.mustPut("k", pattern(5, 50))
		f.mustGet("k", pattern(5, 50))
	}
}

// TestVersioningSwitchedMeanwhile: an operation that began before begins anew.
func TestVersioningSwitchedMeanwhile(t *testing.T) {
	f := newFixture(t, 4, nil)
	f.mustPut("k", pattern(1, 100))
	old := f.bucket
	f.versioning(cluster.VersioningEnabled)
	f.mustPut("other", nil) // the drives know
	f.mustPut("k", pattern(2, 100))
	now := f.bucket
	f.bucket, f.Store.opt.Bucket = old, func(cluster.BucketID) (cluster.Bucket, bool) { return now, true }
	if v := f.mustPut("k", pattern(3, 5000)); v.ID().Null {
		t.Error("a write under the old revision made a null version")
	}
	f.mustGet("k", pattern(3, 5000))
	if d := f.remove("k", object.VersionID{}); !d.Marker {
		t.Errorf("delete: %+v", d)
	}
	if _, err := f.CreateUpload(f.ctx(), &UploadRequest{Bucket: f.bucket, Key: "k"}); err != nil {
		t.Error(err)
	}
	f.bucket = now
	f.wantVersion("k", object.NullVersion, pattern(1, 100))
}
