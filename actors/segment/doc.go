// Package segment keeps shard data in append-only files of one size, so that writing is sequential
// on any medium and no file is created, renamed or removed for an object.
//
//	seg/00000007.seg   | header 4 KiB | frame | frame | ... |
//
// A pack segment takes shards of up to 1 MiB, one behind the other; a run segment is divided into
// units (UnitSize) that streams take a few at a time. Frames (ondisk.FrameHeader) say whose they
// are, so a file can be walked without the index, and carry the segment's generation, so frames of
// an earlier use of the file are told apart. See DESIGN.md for the decisions.
//
// Truth: the S rows of the drive's index, handed in at Open and changed only by Writer.Commit and
// Store.Free, whose callers put the returned rows in the same durable batch as the rows that refer
// to the data. Everything else (reservations, the free pool, pins) is memory: after a restart, what
// no S row counts is free.
//
// Use, by the actor that owns the drive:
//
//	w, _ := s.Writer(Shard{..})                   any goroutine
//	w.WriteFrame(buf) ..; w.Sync(ctx)             data workers: durable
//	rows, _ := w.Commit()                         writer loop; rows go in the batch
//	rel := s.Free(extents)                        writer loop; rel.Rows go in the batch
//	rel.Durable()                                 when the batch is durable: space may be used again
//	g := s.Enter(); look up rows; g.Open(..); g.Leave()   readers
//	s.Trim, s.Compact                             background, one step per call
//
// Commit and Free must be called by one goroutine, in the order of the batches; everything else is
// safe for concurrent use. The store starts goroutines only to sync; Close waits for them.
package segment
