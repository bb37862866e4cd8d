package raftlog

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// BenchmarkStoreLog is one durable append of the size of a bucket's creation.
func BenchmarkStoreLog(b *testing.B) {
	l, err := Create(filepath.Join(b.TempDir(), "raft.db"), map[string]uint64{"CurrentTerm": 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	data := make([]byte, 200)
	b.ReportAllocs()
	for i := uint64(1); b.Loop(); i++ {
		if err := l.StoreLog(&raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: data}); err != nil {
			b.Fatal(err)
		}
		if i%1024 == 0 { // what snapshots leave
			if err := l.DeleteRange(1, i-100); err != nil {
				b.Fatal(err)
			}
		}
	}
}
