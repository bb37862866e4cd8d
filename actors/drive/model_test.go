package drive_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// pair is the actor and the drive in memory, given the same operations.
type pair struct {
	t    *rapid.T
	r    *rig
	mem  *drivetest.Mem
	sent []*drive.Commit
	base object.Stamp
}

var pairKeys = []string{"a", "a/b", "a/c", "ab", "b\x00c", "b"}

func (p *pair) both(what string, f func(d drive.Drive) (any, error)) {
	p.t.Helper()
	got, err := f(p.r.a)
	want, wantErr := f(p.mem)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || !sameError(err, wantErr) {
		p.t.Fatalf("%s:\n actor  %+v, %v\n memory %+v, %v", what, got, err, want, wantErr)
	}
}

func sameError(a, b error) bool {
	for _, e := range []error{drive.ErrStale, drive.ErrHeld, drive.ErrNoShard, drive.ErrNoUpload, drive.ErrDamaged} {
		if errors.Is(a, e) != errors.Is(b, e) {
			return false
		}
	}
	return (a == nil) == (b == nil)
}

// commit offers a version with a random, possibly old, stamp, or one that was offered before.
func (p *pair) commit(t *rapid.T) {
	var c *drive.Commit
	if len(p.sent) > 0 && rapid.IntRange(0, 5).Draw(t, "again") == 0 {
		c = rapid.SampledFrom(p.sent).Draw(t, "sent")
	} else {
		ts := p.base + object.Stamp(rapid.IntRange(1, 60).Draw(t, "ts"))
		oid := object.NewOID(ts)
		v := &ondisk.Version{Kind: ondisk.KindObject, N: 4, K: 2, Size: 6, Stored: 6, ETag: "x",
			Refs: []ondisk.Ref{{Set: testSet, OID: oid, Length: 6, Inline: true}}}
		inline := []byte(oid.String()[26:])
		if rapid.IntRange(0, 2).Draw(t, "tombstone") == 0 {
			v, oid, inline = &ondisk.Version{Kind: ondisk.KindTombstone, N: 4, K: 2}, object.OID{}, nil
		}
		c = p.r.commitOf(rapid.SampledFrom(pairKeys).Draw(t, "key"), v, ts, oid, inline)
		c.Epoch = uint64(rapid.IntRange(1, 2).Draw(t, "epoch"))
		p.sent = append(p.sent, c)
	}
	p.both("commit", func(d drive.Drive) (any, error) {
		reply, err := d.Commit(context.Background(), c)
		return reply.Accepted, err
	})
}

// mark sends a mark, in any order, and waits for it.
func (p *pair) mark(t *rapid.T) {
	if len(p.sent) == 0 {
		return
	}
	c := rapid.SampledFrom(p.sent).Draw(t, "sent")
	p.both("mark", func(d drive.Drive) (any, error) {
		err := d.Mark([]drive.Mark{{Key: c.Key, Set: c.Set, Ref: c.Ref}})
		return nil, errors.Join(err, d.Collect(context.Background(), nil))
	})
}

func (p *pair) collect(t *rapid.T) {
	var tombs []drive.Tomb
	for _, c := range p.sent {
		if c.Kind == ondisk.KindTombstone && rapid.Bool().Draw(t, "this") {
			tombs = append(tombs, drive.Tomb{Key: c.Key, Set: c.Set, Ref: c.Ref})
		}
	}
	p.both("collect", func(d drive.Drive) (any, error) {
		return nil, d.Collect(context.Background(), slices.Clone(tombs))
	})
}

func (p *pair) drop(t *rapid.T) {
	if len(p.sent) == 0 {
		return
	}
	c := rapid.SampledFrom(p.sent).Draw(t, "sent")
	p.both("drop", func(d drive.Drive) (any, error) {
		return nil, d.Drop(context.Background(), c.Key, c.Set, c.Ref)
	})
}

func (p *pair) reopen(*rapid.T) { p.r.reopen() }

// settle writes what is in memory to tables and, now and then, merges them: no row may come or go.
func (p *pair) settle(t *rapid.T) {
	err := p.r.a.Flush()
	if err == nil && rapid.IntRange(0, 3).Draw(t, "merge") == 0 {
		err = p.r.a.Merge()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// check compares everything that can be asked.
func (p *pair) check(t *rapid.T) {
	ctx := context.Background()
	for _, name := range pairKeys {
		p.both("report "+name, func(d drive.Drive) (any, error) {
			rep, err := d.Report(ctx, &drive.ReportRequest{Set: testSet, Epoch: 2, Key: key(name), WithShard: true})
			out := fmt.Sprintf("%q", rep.Inline)
			for _, v := range rep.Versions {
				out += fmt.Sprintf(" %d/%s stable=%t kind=%d", v.Version.TS, v.Version.Write, v.Stable, v.Version.Kind)
			}
			return out, err
		})
	}
	req := drive.ScanRequest{
		Bucket: testBucket, Full: allSets(), Limit: rapid.IntRange(1, 8).Draw(t, "limit"),
		Delimiter:  rapid.SampledFrom([]string{"", "/", "b"}).Draw(t, "delimiter"),
		Prefix:     rapid.SampledFrom([]string{"", "a", "a/", "b"}).Draw(t, "prefix"),
		Start:      rapid.SampledFrom([]string{"", "a", "a/b", "a/bb", "b"}).Draw(t, "start"),
		Tombstones: rapid.Bool().Draw(t, "tombstones"),
		Sets:       func(string) cluster.SetID { return testSet },
	}
	p.both("scan", func(d drive.Drive) (any, error) { return d.Scan(ctx, &req) })
	p.both("pending", func(d drive.Drive) (any, error) {
		list, err := d.Pending(ctx, 0, 100)
		var refs []string
		for _, q := range list {
			refs = append(refs, fmt.Sprint(q.Key, q.Ref))
		}
		slices.Sort(refs)
		return refs, err
	})
	p.both("empty", func(d drive.Drive) (any, error) { return d.BucketEmpty(ctx, testBucket) })
}

// TestActorAndMemoryAgree drives both with the same random operations.
func TestActorAndMemoryAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := vfs.NewMem()
		if err := drive.FormatOn(mem, "/d", testLabel()); err != nil {
			rt.Fatal(err)
		}
		p := &pair{t: rt, mem: drivetest.NewMem(testLabel().Drive), base: object.StampAt(time.Now()) - 1000}
		p.r = &rig{t: t, o: drive.Options{Path: "/d", FS: mem, Label: testLabel(), MemTable: 1 << 20}}
		p.r.open()
		defer func() { p.r.a.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"commit": p.commit, "commit2": p.commit, "mark": p.mark, "collect": p.collect, "drop": p.drop, "reopen": p.reopen, "settle": p.settle,
			"": p.check,
		})
	})
}
