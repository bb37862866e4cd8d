package drivetest

import (
	"testing"

	"go.uber.org/goleak"

	"holdfast/actors/ondisk"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemKeepsThePromisesOfADrive(t *testing.T) {
	Run(t, func(*testing.T) Subject { return NewMem(cluster.DriveID{1}) })
}

// The pool's room and the frame's must be one.
var _ [slab.HeaderRoom - ondisk.FrameHeaderRoom]struct{}
var _ [ondisk.FrameHeaderRoom - slab.HeaderRoom]struct{}
