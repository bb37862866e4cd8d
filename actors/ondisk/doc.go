// Package ondisk holds every layout that Holdfast persists, and nothing else: the drive label
// FORMAT, the rows of the index with their order, the records of journals, the frames of segments, and the one helper that
// writes a small file atomically. It does no I/O but that helper's. It holds no state.
//
// Decoders take bytes from a disk that may lie: each returns ErrCorrupt (wrong bytes), ErrNewer
// (written by a newer release) or a value, never panics, and never aliases its input unless it says
// so. Numbers are big endian, but for the fixed 8-byte fields inside values, which are protobuf's.
//
// # A drive
//
//	FORMAT       the label: JSON and a line with its CRC32C (Label)
//	idx/         one Pebble database: the rows below, in the order of Comparer
//	journal/     the log of the index with the payloads of small shards: records
//	journal.end  where that ends
//	seg/         segments: a header, then frames
//
// # Keys
//
// A name is escaped (00 becomes 00 FF) and ended by 00 01, so keys are prefix-free and their order
// is the byte order of (bucket, name, rest). ^x is the complement of x: newest first.
//
//	 1   8       ..     2     8    16        8
//	+---+--------+------+-----+-----+----------+------+
//	| M | bucket | name |00 01| ^ts | ^writeID | ^rev |   one version of one key
//	+---+--------+------+-----+-----+----------+------+
//	| M | bucket | name |00 01|                           what a drive remembers of a key, before its versions
//	+---+--------+------+-----+----+                 16
//	| U | bucket | name |00 01| uploadID |                an open upload, and behind it its parts:
//	+---+--------+------+-----+----------+------+-----+----------+
//	| U | bucket | name |00 01| uploadID | part | ^ts | ^writeID |  part: 2
//	+---+--------+------+-----+----------+------+-----+----------+
//	 <------- Split ---------->           bloom filters are on this part; other keys are not split
//
//	D | oid 16                               a small shard of a part
//	X | oid 16 | chunk 4                     extents and parts of one oid
//	P | set 4 | ts 8 | writeID 16 | rev 8    accepted, not known stable
//	H | set 4 | slot 1 | ts | writeID | rev  stable, missing on that slot
//	E | set 4                                a drive's view of a set
//	R | set 4 | leaf 1                       digest of stable rows
//	G | seq 8                                to be given back
//	S | segment 4                            use of a segment
//	J | file 4                               what is live in a file of the journal
//	B | bucket 8                             usage, by the merge operator
//	Q | [name ..]                            control state; without a name: to what it belongs
//	Z                                        clocks and watermarks
//	L | due 8 | bucket 8 | name | 00 01 | ^ts 8 | ^writeID 16    reserved
//	O | seq 8                                                    reserved
//
// # Values
//
// Fields are protobuf wire format; their numbers stand beside the encoders. Zero is not written. A
// decoder keeps fields it does not know where the row is rewritten (Unknown), and refuses them with
// ErrNewer where it could only drop them.
//
//	M     | 1 | batch 8 | slot 1 | length | own fields | 1 | fields      the part from the second 1 on
//	                                                   <--- shared --->  is equal on all drives of the set
//	M, U  | 1 | batch 8 | fields                              an M row without a version, a U row
//	D     | 1 | CRC32C 4 | payload                            CRC of the payload
//	Q     | 1 | payload | CRC32C 4                            CRC of key, 1 and payload
//	rest  | 1 | fields
//
// # Journal
//
// A file of a drive's journal is a first page that says what it is, and a run of records, each at a
// multiple of 4096 bytes and padded with zeros to the next; what follows the last one is zeros, or what
// the file held before it was used again. The first page:
//
//	0          8     9     16      32     36     40      48     56    4088    4096
//	+----------+-----+-----+-------+------+------+-------+------+-----+-------+
//	| HFjrnlfl | 1   | 0.. | drive | file | prev | nonce | size | 0.. | CRC64 |
//	|          | fmt |     |       |      |      |       |      |     |       |
//	+----------+-----+-----+-------+------+------+-------+------+-----+-------+
//
//	prev     the file whose batches come before those of this one; 0: the index had flushed them
//	nonce    random; a record without it is stale, or forged in what a client had stored
//	size     bytes of the file when it was made: a shorter one was cut
//
// A record is a header, payloads, and the rows of one batch as Pebble writes them:
//
//	0      4     5        8      12         16    20     24      32        40      48     56      64          64+p     64+p+r
//	+------+-----+--------+------+----------+-----+------+-------+---------+-------+------+-------+-----------+--------+
//	| HFjr | 1   | 0 0 0  | rows | payloads | tag | file | batch | durable | nonce | 0 .. | CRC64 | payloads  | rows   |
//	|      | fmt |        | r    | p        |     |      |       |         |       |      |       |           |        |
//	+------+-----+--------+------+----------+-----+------+-------+---------+-------+------+-------+-----------+--------+
//
//	CRC64    CRC64-NVME of the header before it and of the rows, not of the payloads
//	durable  bytes of the file that were synced when the record was written: a record below it that
//	         cannot be read is damage, one behind it may have been torn
//
// Where the journal ends is said outside of it, in journal.end, which is replaced whenever a file is made
// and when the journal is closed:
//
//	0          8     9      10    16      32     36    40      48    56      64
//	+----------+-----+--------+-----+-------+------+-----+-------+-----+-------+
//	| HFjrnend | 1   | 0      | 0.. | drive | file | 0.. | batch | 0.. | CRC64 |
//	|          | fmt | 1=seal |     |       |      |     |       |     |       |
//	+----------+-----+--------+-----+-------+------+-----+-------+-----+-------+
//
//	file     the newest there is; 0: there was none yet
//	batch    was durable when this was written; 1=seal: and no other came after it
//
// A payload carries its own checksum, so that a shard that rots is one damaged shard:
//
//	0      4     5        8        12    16    32      40
//	+------+-----+--------+--------+-----+-----+-------+---------+
//	| HFjp | 1   | 0 0 0  | length | tag | oid | CRC64 | payload |
//	|      | fmt |        |        |     |     |       |         |
//	+------+-----+--------+--------+-----+-----+-------+---------+
//
//	CRC64    CRC64-NVME of the header before it and of the payload
//
// # Segments
//
// A segment file is a header of 4096 bytes, then frames. Every checksum of a header is the CRC32C of
// all header bytes before it and is its last 4 bytes.
//
//	offset 0          8         9       16      32       36           40     48       56    4092
//	+-----------------+---------+-------+-------+--------+------------+------+--------+-----+-----+
//	| HFsegmnt        | 1 fmt   | class | drive | number | generation | size | extent | 0.. | CRC |
//	+-----------------+---------+-------+-------+--------+------------+------+--------+-----+-----+
//
// A frame is a header and up to 1 MiB of one shard, with a CRC64-NVME for each 64 KiB of it:
//
//	0      4     5       6     8         12           16    32        48       52     56    60      60+8b  h-4
//	+------+-----+-------+-----+---------+------------+-----+---------+--------+------+-----+-------+------+-----+
//	| HFfr | fmt | flags | h   | segment | generation | oid | writeID | number | data | tag | CRC64 | 0 .. | CRC |
//	|      |  1  | 1=run |     |         |            |     |         |        |      |     | b x 8 |      |     |
//	+------+-----+-------+-----+---------+------------+-----+---------+--------+------+-----+-------+------+-----+
//
//	tag         CRC32C of the drive's id
//
//	run frame   h = 4096, data padded to 4 KiB, so that both are aligned; padding is never read
//	pack frame  h = 64 + 8b, data as long as it is
//
// A frame whose segment or generation is not the file's is left over from before the segment was
// recycled; one whose tag is not the drive's was written for another drive. Design decisions: DESIGN.md.
package ondisk
