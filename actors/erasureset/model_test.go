package erasureset

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast/actors/object"
)

// model is what a store must look like from outside.
type model struct {
	*fixture
	rng     *rand.Rand
	objects map[string][]byte
	uploads map[object.WriteID]*modelUpload
	flaky   []int // the drives that come and go: fewer than any object can lose
	down    []int
}

type modelUpload struct {
	key   string
	parts map[int][]byte
}

var modelKeys = []string{
	"a", "a/", "a/b", "a/b/c", "a/b/d", "a//b", "a//", "aa", "aa/b", "b", "b/x/y", "b/x/z", "b/x", "..", "../x",
	"foo", "foo/bar", "foo/bar/baz", "dir/1", "dir/2", "dir/3", "dir", "ä/ö", "ä", "日本/語", "x::y::z", "x::y", "x:y",
	"\U0010FFFF/x", "~", " ", "a b", "%2F", "+", strings.Repeat("k", 1024),
}

func (m *model) key() string { return modelKeys[m.rng.IntN(len(modelKeys))] }

func (m *model) data() []byte {
	k := max(1, len(m.topo.Sets[0].Members)/2)
	switch m.rng.IntN(12) {
	case 0:
		return pattern(m.rng.Uint64(), m.rng.IntN(k<<20)+1)
	case 1, 2:
		return pattern(m.rng.Uint64(), m.rng.IntN(k<<17)+1)
	case 3:
		return []byte{}
	}
	return pattern(m.rng.Uint64(), m.rng.IntN(6000))
}

// faults changes which of the flaky drives are out. There are at most n/2-1 of them, so that all
// is served and all others hold everything: nothing heals here.
func (m *model) faults() {
	for _, i := range m.down {
		m.setOffline(i, false)
	}
	m.down = nil
	for _, i := range m.flaky {
		if m.rng.IntN(2) == 0 {
			m.setOffline(i, true)
			m.down = append(m.down, i)
		}
	}
}

func (m *model) step(i int) {
	t := m.t
	t.Helper()
	switch op := m.rng.IntN(24); {
	case op < 7:
		key, data := m.key(), m.data()
		m.mustPut(key, data)
		m.objects[key] = data
	case op < 11:
		key := m.key()
		if data, ok := m.objects[key]; ok {
			m.mustGet(key, data)
		} else {
			m.mustMiss(key)
		}
	case op < 14:
		key := m.key()
		if err := m.del(key); err != nil {
			t.Fatalf("step %d: delete %q: %v", i, key, err)
		}
		delete(m.objects, key)
	case op < 18:
		m.list(i)
	case op == 18:
		key := m.key()
		up, err := m.CreateUpload(m.ctx(), &UploadRequest{Bucket: m.bucket, Key: key})
		if err != nil {
			t.Fatalf("step %d: create upload: %v", i, err)
		}
		m.uploads[up.ID] = &modelUpload{key, map[int][]byte{}}
	case op < 21:
		m.part(i)
	case op == 21:
		m.endUpload(i)
	case op == 22:
		m.listUploads(i)
	case op == 23:
		switch m.rng.IntN(3) {
		case 0:
			m.faults()
		case 1:
			m.marks.flush()
			m.CollectTombstones(m.ctx())
		case 2:
			m.restart() // marks are lost: what was acknowledged must still stand
		}
	}
}

func (m *model) upload() (object.WriteID, *modelUpload) {
	ids := slices.SortedFunc(maps.Keys(m.uploads), func(a, b object.WriteID) int { return bytes.Compare(a[:], b[:]) })
	if len(ids) == 0 {
		return object.WriteID{}, nil
	}
	id := ids[m.rng.IntN(len(ids))]
	return id, m.uploads[id]
}

func (m *model) part(i int) {
	id, u := m.upload()
	if u == nil {
		return
	}
	data, number := m.data(), 1+m.rng.IntN(4)
	p, err := m.PutPart(m.ctx(), &PartRequest{Bucket: m.bucket, Key: u.key, Upload: id, Number: number, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil {
		m.t.Fatalf("step %d: part: %v", i, err)
	}
	sum := md5.Sum(data)
	if p.ETag != hex.EncodeToString(sum[:]) {
		m.t.Fatalf("step %d: part ETag %q", i, p.ETag)
	}
	u.parts[number] = data
}

func (m *model) endUpload(i int) {
	t := m.t
	id, u := m.upload()
	if u == nil {
		return
	}
	_, parts, err := m.Upload(m.ctx(), m.bucket, u.key, id)
	if err != nil || len(parts) != len(u.parts) {
		t.Fatalf("step %d: upload has %d parts, want %d: %v", i, len(parts), len(u.parts), err)
	}
	delete(m.uploads, id)
	if len(parts) == 0 || m.rng.IntN(3) == 0 {
		if err := m.Abort(m.ctx(), m.bucket, u.key, id); err != nil {
			t.Fatalf("step %d: abort: %v", i, err)
		}
		if _, _, err := m.Upload(m.ctx(), m.bucket, u.key, id); !errors.Is(err, object.ErrNoUpload) {
			t.Fatalf("step %d: an aborted upload: %v", i, err)
		}
		return
	}
	req := &CompleteRequest{Bucket: m.bucket, Key: u.key, Upload: id}
	var data []byte
	var raw []byte
	for _, p := range parts {
		if m.rng.IntN(4) == 0 && len(req.Parts) > 0 {
			continue // a part that was uploaded and is not wanted
		}
		req.Parts = append(req.Parts, CompletedPart{Number: int(p.Number), ETag: p.ETag})
		data = append(data, u.parts[int(p.Number)]...)
		sum := md5.Sum(u.parts[int(p.Number)])
		raw = append(raw, sum[:]...)
	}
	first, err := m.Complete(m.ctx(), req)
	if err != nil {
		t.Fatalf("step %d: complete: %v", i, err)
	}
	sum := md5.Sum(raw)
	if want := fmt.Sprintf("%x-%d", sum, len(req.Parts)); first.ETag != want {
		t.Fatalf("step %d: ETag %q, want %q", i, first.ETag, want)
	}
	again, err := m.Complete(m.ctx(), req)
	if err != nil || again.ETag != first.ETag || again.TS != first.TS {
		t.Fatalf("step %d: completed again: %+v, %v", i, again, err)
	}
	m.objects[u.key] = data
	m.mustGet(u.key, data)
	if len(data) > 0 {
		from := m.rng.Int64N(int64(len(data)))
		to := from + m.rng.Int64N(int64(len(data))-from) + 1
		got, err := m.get(u.key, &object.Range{Start: from, End: to})
		if err != nil || !bytes.Equal(got, data[from:to]) {
			t.Fatalf("step %d: range of a multipart object: %v", i, err)
		}
	}
}

// listed is the list that S3 would give.
func (m *model) listed(prefix, delimiter, after string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m.objects)) {
		name := rolled(key, prefix, delimiter)
		if name == "" || len(out) > 0 && out[len(out)-1] == name {
			continue
		}
		skip := key <= after
		if name != key && name == after {
			skip = true // everything below the common prefix is behind us
		}
		if !skip {
			out = append(out, name)
		}
	}
	return out
}

// rolled is the name a key is listed under, "" if it is not.
func rolled(key, prefix, delimiter string) string {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return ""
	}
	if delimiter != "" {
		if i := strings.Index(rest, delimiter); i >= 0 {
			return key[:len(prefix)+i+len(delimiter)]
		}
	}
	return key
}

func (m *model) list(i int) {
	t := m.t
	req := &ListRequest{
		Bucket:    m.bucket,
		Prefix:    []string{"", "", "a", "a/", "b/x", "dir/", "ä", "x:", "none"}[m.rng.IntN(9)],
		Delimiter: []string{"", "/", "/", "::", "b", "//"}[m.rng.IntN(6)],
		Limit:     1 + m.rng.IntN(40),
	}
	if m.rng.IntN(3) == 0 {
		req.After = m.key()
	}
	want := m.listed(req.Prefix, req.Delimiter, req.After)
	start := *req
	var got []string
	for {
		page, err := m.List(m.ctx(), req)
		if err != nil {
			t.Fatalf("step %d: list: %v", i, err)
		}
		if len(page.Entries) > req.Limit || page.Truncated && len(page.Entries) != req.Limit {
			t.Fatalf("step %d: page of %d, limit %d, truncated %v", i, len(page.Entries), req.Limit, page.Truncated)
		}
		for _, e := range page.Entries {
			got = append(got, e.Name)
			if !e.Common && (e.Info == nil || e.Info.Size != int64(len(m.objects[e.Name]))) {
				t.Fatalf("step %d: %q: info %+v", i, e.Name, e.Info)
			}
		}
		if !page.Truncated {
			break
		}
		req.After = page.Next
	}
	if !slices.Equal(got, want) {
		t.Fatalf("step %d: list %+v\n got %q\nwant %q", i, start, got, want)
	}
}

func (m *model) listUploads(i int) {
	t := m.t
	prefix := []string{"", "a", "b/", "dir"}[m.rng.IntN(4)]
	delimiter := []string{"", "/"}[m.rng.IntN(2)]
	var want []string
	var all []uploadPos
	for id, u := range m.uploads {
		all = append(all, uploadPos{u.key, id})
	}
	slices.SortFunc(all, uploadPos.compare)
	for _, p := range all {
		name := rolled(p.key, prefix, delimiter)
		switch {
		case name == "":
		case name == p.key && (delimiter == "" || !strings.Contains(name[len(prefix):], delimiter)):
			want = append(want, name+" "+p.id.String())
		case !slices.Contains(want, name):
			want = append(want, name)
		}
	}
	req := &ListUploadsRequest{Bucket: m.bucket, Prefix: prefix, Delimiter: delimiter, Limit: 1 + m.rng.IntN(5)}
	var got []string
	for {
		page, err := m.ListUploads(m.ctx(), req)
		if err != nil {
			t.Fatalf("step %d: list uploads: %v", i, err)
		}
		for _, u := range page.Uploads {
			got = append(got, u.Key+" "+u.Upload.ID.String())
		}
		got = append(got, page.Prefixes...)
		if !page.Truncated {
			break
		}
		req.KeyMarker, req.AfterUpload = page.NextKey, nil
		if page.NextID != (object.WriteID{}) {
			req.AfterUpload = &page.NextID
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("step %d: uploads prefix %q delimiter %q\n got %q\nwant %q", i, prefix, delimiter, got, want)
	}
}

// playModel runs random operations and compares every answer with a map's.
func playModel(f *fixture, seed uint64, steps int) {
	m := &model{fixture: f, rng: rand.New(rand.NewPCG(seed, 77)), objects: map[string][]byte{}, uploads: map[object.WriteID]*modelUpload{}}
	m.flaky = m.rng.Perm(len(f.topo.Drives))[:max(0, len(f.topo.Sets[0].Members)/2-1)]
	for i := range steps {
		m.step(i)
	}
	for _, i := range m.down {
		m.setOffline(i, false)
	}
	for _, key := range modelKeys {
		if data, ok := m.objects[key]; ok {
			m.mustGet(key, data)
		} else {
			m.mustMiss(key)
		}
	}
}

// The same random operations on any geometry, with drives coming and going and the coordinator
// being restarted, must give the answers of a map.
func TestAnyGeometryAnswersLikeAMap(t *testing.T) {
	for _, n := range counts {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("drives=%d/seed=%d", n, seed), func(t *testing.T) {
				f := newFixture(t, n, nil)
				playModel(f, seed, 250)
			})
		}
	}
}
