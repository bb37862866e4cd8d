package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
)

// form is how the standard library writes down the state of a digest: a magic, the words big
// endian, the bytes of an unfinished block, and the length.
type form struct {
	new   func() hash.Hash
	magic string
	init  state
	words int
}

func md5Form() *form {
	return &form{md5.New, "md5\x01", state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, 4}
}

func sha256Form() *form {
	return &form{sha256.New, "sha\x03", state{
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	}, 8}
}

// standard is the standard library's digest in this state, after length bytes the last of which,
// buf, are not hashed yet.
func (f *form) standard(s *state, buf []byte, length uint64) hash.Hash {
	var room [128]byte
	b := append(room[:0], f.magic...)
	for _, w := range s[:f.words] {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	b = append(b, buf...)
	b = b[:len(b)+blockSize-len(buf)]
	b = binary.BigEndian.AppendUint64(b, length)
	d := f.new()
	if err := d.(encoding.BinaryUnmarshaler).UnmarshalBinary(b); err != nil {
		panic("digest: " + err.Error()) // the form is part of the library's compatibility promise
	}
	return d
}

// hash hashes whole blocks of one stream.
func (f *form) hash(s *state, p []byte) {
	var room [128]byte
	d := f.standard(s, nil, 0)
	d.Write(p)
	b, err := d.(encoding.BinaryAppender).AppendBinary(room[:0])
	if err != nil {
		panic("digest: " + err.Error())
	}
	for i := range s[:f.words] {
		s[i] = binary.BigEndian.Uint32(b[len(f.magic)+4*i:])
	}
}
