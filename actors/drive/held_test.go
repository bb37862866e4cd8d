package drive

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// TestWorkTakenWhileSilentIsAnswered: what the loop takes out of the mailbox just when the drive is
// found silent was seen by nobody who answers for the loop, which then may hang.
func TestWorkTakenWhileSilentIsAnswered(t *testing.T) {
	for name, out := range map[string]func(a *Actor){
		"silent": func(a *Actor) { a.pulse.beats.Load().end(); a.refuseWaiting(a.unanswered()) },
		"down":   func(a *Actor) { a.health.Fail(errors.New("broken")); <-a.ended; a.refuseAll() },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			label := ondisk.Label{
				Cluster: cluster.ID{1}, Drive: cluster.DriveID{2}, Created: time.Unix(1700000000, 0),
				Capacity: 1 << 40, SegmentSize: 16 << 20, Inline: 2048, SetSize: 4,
			}
			if err := FormatOn(fs, "/d", label); err != nil {
				t.Fatal(err)
			}
			a, err := Open(context.Background(), Options{Path: "/d", FS: fs, Label: label, Limits: Limits{Hung: time.Hour}})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			out(a)
			m := &flushMsg{newReply()}
			a.workOn([]message{m})
			select {
			case err := <-m.done:
				if !errors.Is(err, ErrFailed) {
					t.Errorf("answered with %v", err)
				}
			default:
				t.Error("nobody answered")
			}
			if a.worked() {
				t.Error("the loop may answer once more")
			}
		})
	}
}
