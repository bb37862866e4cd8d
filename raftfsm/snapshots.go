package raftfsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"holdfast/raftfsm/fields"
)

// snapshots is raft's file store, with what its meta.json says repeated under a checksum at the
// start of the data: a flipped digit of the index or the term there would let raft skip or repeat
// entries. The prefix is
//
//	magic "HFSNAPMT" 8 | length 4 | CRC32C of the fields 4 | fields: 1 index 2 term 3 configuration 4 its index
type snapshots struct {
	*raft.FileSnapshotStore
	dir string
}

const (
	snapMagic  = "HFSNAPMT"
	snapRetain = 2
)

func openSnapshots(dir string, log hclog.Logger) (*snapshots, error) {
	s, err := raft.NewFileSnapshotStoreWithLogger(dir, snapRetain, log)
	if err != nil {
		return nil, err
	}
	return &snapshots{s, filepath.Join(dir, "snapshots")}, nil
}

func appendSnapPrefix(index, term uint64, conf raft.Configuration, confIndex uint64) []byte {
	f := fields.AppendUint(nil, 1, index)
	f = fields.AppendUint(f, 2, term)
	f = fields.AppendBytes(f, 3, raft.EncodeConfiguration(conf))
	f = fields.AppendUint(f, 4, confIndex)
	b := append([]byte(nil), snapMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(f, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, f...)
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration,
	confIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, conf, confIndex, trans)
	if err != nil {
		return nil, err
	}
	if _, err := sink.Write(appendSnapPrefix(index, term, conf, confIndex)); err != nil {
		sink.Cancel()
		return nil, err
	}
	return sink, nil
}

// Open implements raft.SnapshotStore. The reader stands behind the prefix.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.FileSnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	want := appendSnapPrefix(meta.Index, meta.Term, meta.Configuration, meta.ConfigurationIndex)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) || meta.ID != id || meta.Version != 1 {
		r.Close()
		return nil, nil, fmt.Errorf("snapshot %s: %w: its description does not match", id, errDoubt)
	}
	return meta, r, nil
}

// verified lists the snapshots, newest first, after removing unfinished ones. Any that is damaged is
// an error: raft would fall back to an older one, whose log may be gone.
func (s *snapshots) verified() ([]*raft.SnapshotMeta, error) {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	whole := 0
	for _, n := range names {
		if strings.HasSuffix(n.Name(), ".tmp") {
			if err := os.RemoveAll(filepath.Join(s.dir, n.Name())); err != nil {
				return nil, err
			}
			continue
		}
		whole++
	}
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	if len(list) != min(whole, snapRetain) {
		return nil, fmt.Errorf("%w: %d snapshots of %d can be read", errDoubt, len(list), whole)
	}
	return list, nil
}
