package cluster

import "errors"

var (
	// ErrBucketName is returned when a bucket name breaks the naming rules.
	ErrBucketName = errors.New("invalid bucket name")
	// ErrBucketExists is returned when a bucket is created that another owner holds.
	ErrBucketExists = errors.New("bucket exists")
	// ErrBucketOwned is returned when a bucket is created that the same owner already holds.
	ErrBucketOwned = errors.New("bucket is already owned by you")
	// ErrNoBucket is returned when a named bucket does not exist in the applied state.
	ErrNoBucket = errors.New("no such bucket")
	// ErrBucketNotEmpty is returned when a bucket that holds objects is to be deleted.
	ErrBucketNotEmpty = errors.New("bucket is not empty")
	// ErrTooManyBuckets is returned when the owner's limit of buckets is reached.
	ErrTooManyBuckets = errors.New("too many buckets")
	// ErrBucketSealed is returned when a write meets a bucket whose deletion is running.
	ErrBucketSealed = errors.New("bucket is being deleted")
	// ErrBucketState is returned when a bucket's other settings forbid a change of its configuration.
	ErrBucketState = errors.New("bucket's settings forbid the change")
	// ErrNoLeader is returned when a configuration change finds no leader that can commit it.
	ErrNoLeader = errors.New("no raft leader")
	// ErrControlQuorum is returned when fewer local drives than the write quorum can keep a copy of
	// the control state, so that a configuration change could be lost. Nothing was changed.
	ErrControlQuorum = errors.New("too few drives to keep the configuration")
	// ErrNoCredential is returned when a named access key does not exist in the applied state.
	ErrNoCredential = errors.New("no such access key")
	// ErrNoDrive is returned when a named drive does not exist in the applied state.
	ErrNoDrive = errors.New("no such drive")
	// ErrConflict is returned when a configuration change was made for a state that is no longer so.
	ErrConflict = errors.New("configuration changed meanwhile")
	// ErrOutcomeUnknown is returned when a configuration change may or may not have been committed.
	ErrOutcomeUnknown = errors.New("outcome of the configuration change is unknown")
)
