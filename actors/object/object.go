// Package object holds the nouns of the data plane: keys, stamps, versions, ranges and what is
// known of an object. It has no behaviour beyond parsing, comparing and printing; it does no I/O.
// Strings and slices inside its values belong to the value: nothing aliases a network buffer.
package object

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
	"unicode/utf8"

	"holdfast/raftfsm/cluster"
)

// MaxKeyBytes is the longest object key that S3 allows, in bytes of UTF-8.
const MaxKeyBytes = 1024

// Key names an object: an incarnation of a bucket and the exact bytes the client sent. Nothing is
// normalised: "a//b", "a/../b" and "a/" are three keys.
type Key struct {
	Bucket cluster.BucketID
	Name   string
}

// CheckName says whether name may be an object key: 1..1024 bytes of valid UTF-8 without NUL.
func CheckName(name string) error {
	switch {
	case name == "":
		return ErrKeyEmpty
	case len(name) > MaxKeyBytes:
		return ErrKeyTooLong
	case !utf8.ValidString(name):
		return ErrKeyEncoding
	}
	return nil
}

// Stamp orders the versions of a key: a hybrid logical clock, microseconds since the Unix epoch in
// the upper 54 bits and a logical counter in the lower 10. Zero is before every write.
type Stamp uint64

// StampAt is the lowest stamp of the microsecond of t.
func StampAt(t time.Time) Stamp { return Stamp(uint64(t.UnixMicro()) << 10) }

// Time is the wall-clock part of the stamp.
func (s Stamp) Time() time.Time { return time.UnixMicro(int64(s >> 10)) }

// WriteID is random and names one write (one PUT, one DELETE) for ever; equal stamps of different
// writes are ordered by it.
type WriteID [16]byte

// NewWriteID returns a random write id.
func NewWriteID() WriteID {
	var id WriteID
	rand.Read(id[:]) // never fails: crypto/rand aborts the process instead (Go 1.24)
	return id
}

func (id WriteID) String() string { return hex.EncodeToString(id[:]) }

// OID names stored data (the shards of one object or one part). Its first 8 bytes are the stamp of
// the write, big endian, so that data written together lies together in the index.
type OID [16]byte

// NewOID returns an id that sorts by the time of ts.
func NewOID(ts Stamp) OID {
	var id OID
	binary.BigEndian.PutUint64(id[:8], uint64(ts))
	rand.Read(id[8:])
	return id
}

func (id OID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id was never set.
func (id OID) IsZero() bool { return id == OID{} }

// VersionRef is the place of one version in its key's order.
type VersionRef struct {
	TS    Stamp
	Write WriteID
}

// Compare orders two versions of one key: negative if a is older.
func (a VersionRef) Compare(b VersionRef) int {
	if c := cmp.Compare(a.TS, b.TS); c != 0 {
		return c
	}
	return cmp.Compare(string(a.Write[:]), string(b.Write[:]))
}

// Range is a half-open interval of plain object bytes, 0 <= Start <= End <= size.
type Range struct{ Start, End int64 }

// Len is the number of bytes in the range.
func (r Range) Len() int64 { return r.End - r.Start }

// MarshalText is String, for JSON.
func (id WriteID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// MarshalText is String, for JSON.
func (id OID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }
