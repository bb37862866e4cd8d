package node

import (
	"errors"
	"fmt"

	"holdfast/actors/drive"
)

// ErrAmnesia is returned when a drive lacks writes that it had made durable and that clients were
// told of: it was set back to an older image, or lost the tail of its log. What it does not have is
// no evidence that it never was (I15), so it must not answer for its sets until it is rebuilt.
var ErrAmnesia = errors.New("drive has lost acknowledged writes")

// amnesia compares a drive with what the others recorded of it.
func amnesia(a *drive.Actor, others []*drive.Actor) error {
	own, _ := a.Watermarks()
	for _, o := range others {
		if o == a {
			continue
		}
		if _, peers := o.Watermarks(); peers[a.ID()] > own {
			return fmt.Errorf("%w: %s ends at batch %d, drive %s knows of batch %d", ErrAmnesia, a.Path(), own, o.Path(), peers[a.ID()])
		}
	}
	return nil
}
