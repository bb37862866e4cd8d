package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/actors/drive"
	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/state"
)

// ErrInspect is returned when what was asked about a drive cannot be found on it.
var ErrInspect = errors.New("cannot inspect")

// Inspected is what lies on a drive, with the names that only the control state knows.
type Inspected struct {
	*drive.Inspection
	Buckets []cluster.Bucket // as this drive's copy of the control state has them
}

// InspectDrive reads a drive's directory and changes nothing. key is "bucket/key" or "" for the
// drive as a whole; verify reads every segment.
func InspectDrive(ctx context.Context, path, key string, verify bool) (*Inspected, error) {
	bucket, name, hasKey := strings.Cut(key, "/")
	if key != "" && (!hasKey || name == "" || bucket == "") {
		return nil, fmt.Errorf("%w: --key %q is not of the form bucket/key", ErrInspect, key)
	}
	in, err := drive.Inspect(ctx, path, drive.InspectQuery{Verify: verify && key == ""})
	if err != nil {
		return nil, err
	}
	out := &Inspected{Inspection: in}
	if in.Control != nil {
		var digest state.Digest
		for k, row := range in.ControlRows {
			digest.Toggle(k, row)
		}
		s, err := state.FromRows(in.Control.Index, in.Control.Term, digest, in.ControlRows)
		if err != nil {
			in.Damage = append(in.Damage, fmt.Sprintf("control state: %v", err))
			in.Damaged++
		} else {
			out.Buckets = s.Buckets()
		}
	}
	if key == "" {
		return out, nil
	}
	for _, b := range out.Buckets {
		if string(b.Name) == bucket {
			out.Inspection, err = drive.Inspect(ctx, path, drive.InspectQuery{Bucket: b.ID, Key: name, Verify: verify})
			return out, err
		}
	}
	return nil, fmt.Errorf("%w: drive %s knows no bucket %q", ErrInspect, path, bucket)
}
