package journal

import "errors"

var (
	// ErrGone is returned for a payload whose file is not there any more: its row has changed since.
	ErrGone = errors.New("file of the journal was given up")
	// ErrCut is returned by Replay for a file that is shorter than it was when its first record was written.
	ErrCut = errors.New("file of the journal was cut")
	// ErrGap is returned by Replay when batches are missing that were durable: the drive has lost what
	// it answered for.
	ErrGap = errors.New("journal lacks batches that were durable")
)
