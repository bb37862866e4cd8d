// Package journal is the log of one drive, and the home of its small shards. Each batch of index rows
// is one record of a file, with the payloads that came with it, written in one piece and made durable
// by one sync. The index keeps no log of its own: after a stop the rows of the records that it had not
// flushed are put into it again (Replay). A file stays when nobody needs it as log any more, as long as
// rows refer to payloads in it: so a payload is written once, and never again by a flush or a compaction.
//
//	file  current -> log (sealed) -> home (all its batches flushed) -> dead (nothing live) -> recycled
//
// Where the journal ends is written down outside of its files (Options.End) before a new one is used, and each
// file names the one before it: a file that is missing is noticed. All records of a file bear the random number
// of its first page, so that nothing that lay there before, or that a client had stored, is taken for one.
//
// The package knows nothing of rows. Its owner, the drive actor, says what is live (Account), which
// batches the index has flushed (Flushed), and moves payloads out of files that are nearly empty, for
// which Sparse and Walk are there. Layouts are in actors/ondisk; decisions in actors/drive/DESIGN.md.
//
// Add, Append, Sync, Seal and Account belong to one goroutine, the drive's writer; Run to another one, of the
// drive as well. All else is safe for concurrent use. What Read returns is the caller's.
package journal
