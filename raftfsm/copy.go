package raftfsm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/state"
)

// Copy is where one local drive keeps the applied control state.
type Copy interface {
	// ID is the drive's identity.
	ID() cluster.DriveID
	// LoadControl returns the copy, or ErrNoCopy.
	LoadControl(ctx context.Context) (CopyMeta, map[string][]byte, error)
	// StoreControl replaces meta, sets the rows in put and removes those in del, in one durable batch.
	StoreControl(ctx context.Context, meta CopyMeta, put map[string][]byte, del []string) error
}

// CopyMeta says to which log entry a copy's rows belong.
type CopyMeta struct {
	Cluster     cluster.ID
	Index, Term uint64 // of the last command that changed something
	Node        cluster.NodeID
	Rows        uint32
	Digest      [32]byte // over the fields above and all rows
}

// metaOf describes the copy of a state that a node keeps.
func metaOf(s *state.State, node cluster.NodeID) CopyMeta {
	m := CopyMeta{Cluster: s.Cluster(), Index: s.Index(), Term: s.Term(), Node: node, Rows: uint32(s.RowCount())}
	m.Digest = m.sum(s.RowDigest())
	return m
}

func (m CopyMeta) sum(rows state.Digest) [32]byte {
	b := []byte("holdfast control copy 1")
	b = append(b, m.Cluster[:]...)
	b = binary.LittleEndian.AppendUint64(b, m.Index)
	b = binary.LittleEndian.AppendUint64(b, m.Term)
	b = append(b, m.Node[:]...)
	b = binary.LittleEndian.AppendUint32(b, m.Rows)
	return sha256.Sum256(append(b, rows[:]...))
}

// verify builds the state that a copy holds.
func (m CopyMeta) verify(id cluster.ID, rows map[string][]byte) (*state.State, error) {
	var d state.Digest
	for k, row := range rows {
		d.Toggle(k, row)
	}
	if m.sum(d) != m.Digest || int(m.Rows) != len(rows) {
		return nil, fmt.Errorf("%w: digest over %d rows does not match", state.ErrCorrupt, len(rows))
	}
	if m.Cluster != id {
		return nil, fmt.Errorf("%w: it belongs to cluster %s", state.ErrCorrupt, m.Cluster)
	}
	s, err := state.FromRows(m.Index, m.Term, d, rows)
	if err == nil && s.Cluster() != id {
		err = fmt.Errorf("%w: its rows belong to cluster %s", state.ErrCorrupt, s.Cluster())
	}
	return s, err
}

// newer reports whether a state is later than another: by term first, as raft compares logs, because
// a higher term began from the newest copies that could be found.
func newer(a, b *state.State) bool {
	if a.Term() != b.Term() {
		return a.Term() > b.Term()
	}
	return a.Index() > b.Index()
}

// found is what one drive's copy turned out to be.
type found struct {
	copy  Copy
	state *state.State // nil unless the copy is whole
	node  cluster.NodeID
	err   error // why not, ErrNoCopy included
}

// load reads and verifies one copy.
func load(ctx context.Context, id cluster.ID, c Copy) found {
	meta, rows, err := c.LoadControl(ctx)
	if err != nil {
		return found{copy: c, err: fmt.Errorf("drive %s: load control state: %w", c.ID(), err)}
	}
	s, err := meta.verify(id, rows)
	if err != nil {
		return found{copy: c, err: fmt.Errorf("drive %s: load control state: %w", c.ID(), err)}
	}
	return found{copy: c, state: s, node: meta.Node}
}

// survey reads all copies at once.
func survey(ctx context.Context, id cluster.ID, copies []Copy) []found {
	all := make([]found, len(copies))
	done := make(chan struct{}, len(copies))
	for i, c := range copies {
		go func() {
			all[i] = load(ctx, id, c)
			done <- struct{}{}
		}()
	}
	for range copies {
		<-done
	}
	return all
}

// newest picks the latest whole copy.
func newest(all []found) (best found) {
	for _, f := range all {
		if f.state != nil && (best.state == nil || newer(f.state, best.state)) {
			best = f
		}
	}
	return best
}

// replace brings a copy whose content is not known for sure to the state next.
func replace(ctx context.Context, c Copy, meta CopyMeta, next *state.State) error {
	_, rows, err := c.LoadControl(ctx)
	unreadable := err != nil && !errors.Is(err, ErrNoCopy)
	if unreadable {
		rows = nil // what there is to remove is not known: write everything, then look
	}
	put := next.Rows()
	var del []string
	for k, row := range rows {
		if want, ok := put[k]; !ok {
			del = append(del, k)
		} else if string(want) == string(row) {
			delete(put, k)
		}
	}
	if err := c.StoreControl(ctx, meta, put, del); err != nil || !unreadable {
		return err
	}
	return load(ctx, meta.Cluster, c).err
}
