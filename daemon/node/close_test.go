package node_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast/actors/drive/drivetest"
	"holdfast/daemon/nodetest"
)

// TestStopLeavesAHungDriveBehind: a drive hangs for good while a body is written to it. The node stops in
// order all the same, names the drive, and everything is there when it runs again.
func TestStopLeavesAHungDriveBehind(t *testing.T) {
	t.Parallel()
	nd := nodetest.New(t, 4)
	hang := &drivetest.Hang{}
	sick := nd.Dirs[1]
	nd.FS = drivetest.Inject(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasPrefix(op.Path, sick) {
			return hang.MaybeError(op)
		}
		return nil
	}))
	nd.MustStart()
	fill(nd, "bucket")
	hang.Set(true)
	defer hang.Set(false)
	const size = 5 << 20
	nd.Want(200, http.MethodPut, "/bucket/late", body(size))
	if hang.Waiting() == 0 {
		t.Fatal("nothing hangs")
	}
	begun := time.Now()
	nd.Stop()
	took := time.Since(begun)
	t.Logf("stopped after %v", took)
	if limit := nd.Config.DrainLimit + 15*time.Second; took > limit {
		t.Errorf("the stop took %v, %v are allowed", took, limit)
	}
	for _, want := range []string{"drive left behind", sick} {
		if !strings.Contains(nd.Log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, nd.Log)
		}
	}
	hang.Set(false)
	nd.MustStart()
	late := nd.Want(200, http.MethodGet, "/bucket/late", nil)
	if string(late.Body) != string(body(size)) {
		t.Error("the last object came back different")
	}
	nd.Want(204, http.MethodDelete, "/bucket/late", nil)
	check(t, nd, "bucket")
}
