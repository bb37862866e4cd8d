package node

// Keys of log attributes: one spelling for each thing.
const (
	keyDrive  = "drive"
	keyPath   = "path"
	keyErr    = "err"
	keyBucket = "bucket"
	keyAddr   = "address"
)
