package raftfsm

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkCreateBucket is one change from call to answer, with the copies in memory: the raft log's
// cost and the control plane's own.
func BenchmarkCreateBucket(b *testing.B) {
	n := openNode(b, testOptions(b, filepath.Join(b.TempDir(), "raft"), newCopies(4)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		createBucket(b, n, fmt.Sprintf("bucket-%d", i))
	}
}
