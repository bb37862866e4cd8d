package drivetest

import (
	"context"
	"slices"
	"sort"
	"strings"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

func (b *memBucket) sorted() []string {
	if b.dirty {
		b.order = b.order[:0]
		for name := range b.keys {
			b.order = append(b.order, name)
		}
		slices.Sort(b.order)
		b.dirty = false
	}
	return b.order
}

// Scan walks keys in order.
func (m *Mem) Scan(ctx context.Context, req *drive.ScanRequest) (drive.ScanReply, error) {
	if err := m.faults.enter(ctx, OpScan); err != nil {
		return drive.ScanReply{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	reply := drive.ScanReply{Silent: m.silent(req)}
	b := m.buckets[req.Bucket]
	if b == nil {
		return reply, nil
	}
	names := b.sorted()
	for i := sort.SearchStrings(names, max(req.Start, req.Prefix)); i < len(names); i++ {
		name := names[i]
		if !strings.HasPrefix(name, req.Prefix) {
			break
		}
		if req.Versions {
			if i = m.versions(b, names, i, req, &reply); reply.Truncated {
				break
			}
			continue
		}
		if req.Tombstones && req.Delimiter == "" && m.remembers(b.keys[name]) {
			if set := req.Sets(name); quorum.HasSet(req.Full, set) || quorum.HasSet(req.Witness, set) {
				if len(reply.Entries) == req.Limit {
					reply.Truncated = true
					break
				}
				reply.Entries = append(reply.Entries, drive.Entry{Name: name, Set: set})
			}
		}
		e, ok := m.entry(b, name, req)
		if !ok {
			continue
		}
		if req.Delimiter != "" {
			if at := strings.Index(name[len(req.Prefix):], req.Delimiter); at >= 0 {
				if !quorum.Told(e.Kind, !e.Unstable) {
					continue // a tombstone proves no prefix
				}
				e.Name, e.Common, e.Example = name[:len(req.Prefix)+at+len(req.Delimiter)], true, name
				e.Row = nil
			}
		}
		if len(reply.Entries) == req.Limit {
			reply.Truncated = true
			break
		}
		reply.Entries = append(reply.Entries, e)
		if e.Common { // skip everything below it
			i = lastBelow(names, e.Name)
		}
	}
	return reply, nil
}

// silent are the sets asked for in which the drive is not in sync, or no member.
func (m *Mem) silent(req *drive.ScanRequest) (out []cluster.SetID) {
	for id := range cluster.SetID(64 * max(len(req.Full), len(req.Witness))) {
		if asked := quorum.HasSet(req.Full, id) || quorum.HasSet(req.Witness, id); asked && (m.sets[id] == nil || m.sets[id].State != quorum.SlotInSync) {
			out = append(out, id)
		}
	}
	return out
}

// remembers says whether there is something to forget of a key: see drive.ScanRequest.Tombstones.
func (m *Mem) remembers(k *memKey) bool {
	newest := max(k.state.Promise.TS, k.state.Decision.Ballot.TS)
	for i := range k.state.Dead {
		newest = max(newest, k.state.Dead[i].Rev)
	}
	return newest != 0 && newest <= object.StampAt(m.clock().Add(-drive.AttemptLife))
}

// entry is the newest version of a key, if its set is asked for and it counts.
func (m *Mem) entry(b *memBucket, name string, req *drive.ScanRequest) (drive.Entry, bool) {
	k := b.keys[name]
	set := req.Sets(name)
	full, witness := quorum.HasSet(req.Full, set), quorum.HasSet(req.Witness, set)
	if !full && !witness {
		return drive.Entry{}, false
	}
	v := quorum.Newest(&k.state)
	if v == nil || !quorum.Told(v.Kind, v.Stable) && !(req.Tombstones && v.Kind == quorum.Tombstone) {
		return drive.Entry{}, false
	}
	e := drive.Entry{Name: name, Set: set, Ref: v.Ref, Rev: v.Rev, Kind: v.Kind, Unstable: !v.Stable}
	if full {
		e.Row = k.row(v).Row
	}
	return e, true
}

// lastBelow is the index of the last name that begins with prefix.
func lastBelow(names []string, prefix string) int {
	return sort.Search(len(names), func(j int) bool { return names[j] > prefix && !strings.HasPrefix(names[j], prefix) }) - 1
}

// versions adds the versions of name i, or their common prefix, and returns the last name it speaks of.
func (m *Mem) versions(b *memBucket, names []string, i int, req *drive.ScanRequest, reply *drive.ScanReply) int {
	name := names[i]
	k, set := b.keys[name], req.Sets(name)
	full := quorum.HasSet(req.Full, set)
	if !full && !quorum.HasSet(req.Witness, set) {
		return i
	}
	var stands quorum.Standing
	for j := range k.state.Versions {
		v := &k.state.Versions[j]
		if !stands.Next(v.Ref, v.Kind, v.Null, v.Stable) || name == req.Start && req.Below != (object.VersionRef{}) && v.Ref.Compare(req.Below) >= 0 {
			continue
		}
		e := drive.Entry{Name: name, Set: set, Ref: v.Ref, Rev: v.Rev, Kind: v.Kind, Unstable: !v.Stable, Null: v.Null}
		at := -1
		if req.Delimiter != "" {
			at = strings.Index(name[len(req.Prefix):], req.Delimiter)
		}
		switch {
		case len(reply.Entries) == req.Limit:
			reply.Truncated = true
			return i
		case at >= 0:
			e.Name, e.Common, e.Example = name[:len(req.Prefix)+at+len(req.Delimiter)], true, name
			reply.Entries = append(reply.Entries, e)
			return lastBelow(names, e.Name)
		case full:
			e.Row = k.row(v).Row
		}
		reply.Entries = append(reply.Entries, e)
	}
	return i
}

// BucketEmpty reports whether nothing of the bucket is held.
func (m *Mem) BucketEmpty(ctx context.Context, bucket cluster.BucketID) (bool, error) {
	if err := m.faults.enter(ctx, OpScan); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.buckets[bucket]
	if b == nil {
		return true, nil
	}
	for _, k := range b.keys {
		for i := range k.state.Versions {
			if v := &k.state.Versions[i]; v.Kind != quorum.Tombstone && !(v.Kind == quorum.Purged && v.Stable) {
				return false, nil
			}
		}
	}
	return len(b.uploads) == 0, nil
}
