package drive

import (
	"context"
	"fmt"
	"time"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
)

// Offline stands for a drive that is not there: every call fails with ErrOffline, so nobody tests
// for nil.
type Offline struct {
	id  cluster.DriveID
	why error
}

var (
	_ Drive        = (*Offline)(nil)
	_ ControlStore = (*Offline)(nil)
)

// NewOffline returns a drive that is absent because of why, which may be nil.
func NewOffline(id cluster.DriveID, why error) *Offline { return &Offline{id: id, why: why} }

func (o *Offline) err() error {
	if o.why == nil {
		return fmt.Errorf("drive %s: %w", o.id, ErrOffline)
	}
	return fmt.Errorf("drive %s: %w: %w", o.id, ErrOffline, o.why)
}

// ID is the identity of the drive that is missed.
func (o *Offline) ID() cluster.DriveID { return o.id }

// Health says that the drive is absent, and why.
func (o *Offline) Health() Health { return Health{State: Absent, Err: o.err()} }

// Do implements Doer.
func (o *Offline) Do(context.Context, *Request, *Reply) error { return o.err() }

// DoAll implements Doer.
func (o *Offline) DoAll(_ context.Context, calls []Call) {
	for i := range calls {
		calls[i].Err = o.err()
	}
}

// Mark implements Doer.
func (o *Offline) Mark([]Mark) error { return o.err() }

// Stage implements Stager.
func (o *Offline) Stage(context.Context, StageRequest) (ShardWriter, error) { return nil, o.err() }

// OpenShard implements Reporter.
func (o *Offline) OpenShard(context.Context, object.Key, object.OID) (ShardReader, error) {
	return nil, o.err()
}

// Pending implements Reporter.
func (o *Offline) Pending(context.Context, time.Duration, int) ([]ondisk.Pending, error) {
	return nil, o.err()
}

// Debts implements Reporter.
func (o *Offline) Debts(context.Context, []byte, int) ([]ondisk.Pending, []byte, error) {
	return nil, nil, o.err()
}

// Parts implements Reporter.
func (o *Offline) Parts(context.Context, object.OID) ([]ondisk.Part, error) { return nil, o.err() }

// Scan implements Scanner.
func (o *Offline) Scan(context.Context, *ScanRequest) (ScanReply, error) { return ScanReply{}, o.err() }

// BucketEmpty implements Scanner.
func (o *Offline) BucketEmpty(context.Context, cluster.BucketID) (bool, error) {
	return false, o.err()
}

// PutPart implements Uploads.
func (o *Offline) PutPart(context.Context, Target, object.WriteID, *ondisk.UploadPart, []byte) error {
	return o.err()
}

// GetUpload implements Uploads.
func (o *Offline) GetUpload(context.Context, object.Key, object.WriteID) (*ondisk.Upload, []ondisk.UploadPart, error) {
	return nil, nil, o.err()
}

// ListUploads implements Uploads.
func (o *Offline) ListUploads(context.Context, cluster.BucketID, string, string, object.WriteID, int) ([]UploadEntry, error) {
	return nil, o.err()
}

// LoadControl implements ControlStore.
func (o *Offline) LoadControl(context.Context) (ondisk.ControlMeta, map[string][]byte, error) {
	return ondisk.ControlMeta{}, nil, o.err()
}

// StoreControl implements ControlStore.
func (o *Offline) StoreControl(context.Context, ondisk.ControlMeta, map[string][]byte, []string) error {
	return o.err()
}
