// Package checksum knows S3's additional checksums: their names, headers, hashes, text form and
// type rules, how checksums of parts become one of the object, and what a request says about its
// own. It reads no bodies and stores nothing; values are ondisk.Checksum. Functions are pure and
// safe for concurrent use; a hash from New belongs to one goroutine.
package checksum

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/minio/crc64nvme"

	"holdfast/actors/ondisk"
)

// ErrFormat is returned when a text is not a checksum of the expected algorithm.
var ErrFormat = errors.New("malformed checksum")

// The names of a checksum's type.
const (
	FullObject = "FULL_OBJECT"
	Composite  = "COMPOSITE"
)

// info is the static knowledge about one algorithm.
type info struct {
	name, header, element string
	size                  int
	composite, full       bool // which types a multipart object may have
}

// table is read only; its index is ondisk.ChecksumAlgo.
var table = [...]info{
	ondisk.ChecksumCRC32:     {"CRC32", "x-amz-checksum-crc32", "ChecksumCRC32", 4, true, true},
	ondisk.ChecksumCRC32C:    {"CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", 4, true, true},
	ondisk.ChecksumSHA1:      {"SHA1", "x-amz-checksum-sha1", "ChecksumSHA1", sha1.Size, true, false},
	ondisk.ChecksumSHA256:    {"SHA256", "x-amz-checksum-sha256", "ChecksumSHA256", sha256.Size, true, false},
	ondisk.ChecksumCRC64NVME: {"CRC64NVME", "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", 8, false, true},
}

func lookup(a ondisk.ChecksumAlgo) *info {
	if int(a) >= len(table) {
		a = 0
	}
	return &table[a]
}

// Algorithms lists all algorithms in the order of their numbers.
func Algorithms() []ondisk.ChecksumAlgo {
	return []ondisk.ChecksumAlgo{ondisk.ChecksumCRC32, ondisk.ChecksumCRC32C, ondisk.ChecksumSHA1,
		ondisk.ChecksumSHA256, ondisk.ChecksumCRC64NVME}
}

// Name is the algorithm as in x-amz-checksum-algorithm; "" for an unknown one.
func Name(a ondisk.ChecksumAlgo) string { return lookup(a).name }

// Header is the header that carries a value, in lower case.
func Header(a ondisk.ChecksumAlgo) string { return lookup(a).header }

// Element is the XML element that carries a value.
func Element(a ondisk.ChecksumAlgo) string { return lookup(a).element }

// Size is the length of a value in bytes.
func Size(a ondisk.ChecksumAlgo) int { return lookup(a).size }

// Parse reads an algorithm's name, in any case as the SDKs send it.
func Parse(name string) (ondisk.ChecksumAlgo, bool) {
	for _, a := range Algorithms() {
		if strings.EqualFold(table[a].name, name) {
			return a, true
		}
	}
	return 0, false
}

// ParseHeader finds the algorithm of a header such as x-amz-checksum-crc32, in any case.
func ParseHeader(header string) (ondisk.ChecksumAlgo, bool) {
	for _, a := range Algorithms() {
		if strings.EqualFold(table[a].header, header) {
			return a, true
		}
	}
	return 0, false
}

// New returns the hash of an algorithm, which must be known. Sums of CRCs are big endian.
func New(a ondisk.ChecksumAlgo) hash.Hash {
	switch a {
	case ondisk.ChecksumCRC32:
		return crc32.NewIEEE()
	case ondisk.ChecksumCRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli)) // MakeTable returns one shared table
	case ondisk.ChecksumSHA1:
		return sha1.New()
	case ondisk.ChecksumSHA256:
		return sha256.New()
	case ondisk.ChecksumCRC64NVME:
		return crc64nvme.New()
	}
	panic("checksum: unknown algorithm " + strconv.Itoa(int(a)))
}

// Allowed reports whether a multipart object may have this type of checksum.
func Allowed(a ondisk.ChecksumAlgo, composite bool) bool {
	if composite {
		return lookup(a).composite
	}
	return lookup(a).full
}

// DefaultComposite is the type of a multipart object's checksum when the client names none.
func DefaultComposite(a ondisk.ChecksumAlgo) bool { return lookup(a).composite }

// TypeName is the type as in x-amz-checksum-type.
func TypeName(composite bool) string {
	if composite {
		return Composite
	}
	return FullObject
}

// ParseType reads x-amz-checksum-type.
func ParseType(s string) (composite, ok bool) {
	return s == Composite, s == Composite || s == FullObject
}

// Format is a checksum as clients see it: base64, with "-parts" behind a composite one.
func Format(c ondisk.Checksum, parts int) string {
	s := base64.StdEncoding.EncodeToString(c.Value)
	if c.Composite {
		s += "-" + strconv.Itoa(parts)
	}
	return s
}

// Decode reads the base64 of a value of algorithm a. Padding and unused bits must be as encoders write them.
func Decode(a ondisk.ChecksumAlgo, s string) ([]byte, error) {
	v, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(v) != Size(a) || len(v) == 0 || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%w: %q is not the base64 of a %s", ErrFormat, s, Name(a))
	}
	return v, nil
}

// DecodeObject reads a multipart object's checksum. parts is 0 when there is no "-parts".
func DecodeObject(a ondisk.ChecksumAlgo, s string) (value []byte, parts int, err error) {
	text, count, composite := strings.Cut(s, "-") // '-' is not in the base64 alphabet
	if composite {
		parts, err = strconv.Atoi(count)
		if err != nil || parts < 1 || strconv.Itoa(parts) != count {
			return nil, 0, fmt.Errorf("%w: %q has no number of parts", ErrFormat, s)
		}
	}
	value, err = Decode(a, text)
	return value, parts, err
}
