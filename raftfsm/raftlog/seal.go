package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

// Entries and values lie in the file as raft-boltdb puts them there, each with a seal at its end: the
// CRC32C of where it belongs and of all that it says. An entry's seal is the end of its Extensions.
const (
	sealSize = 4
	// formatKey is a stable key that says by which rules the values are sealed.
	formatKey = "holdfast format"
	format    = 1
)

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// entrySum covers every field of an entry.
func entrySum(e *raft.Log, extensions []byte) uint32 {
	b := make([]byte, 0, 64+len(e.Data)+len(extensions))
	b = append(b, 'e', byte(e.Type))
	for _, v := range []uint64{
		e.Index, e.Term, uint64(e.AppendedAt.Unix()), uint64(e.AppendedAt.Nanosecond()), uint64(len(e.Data)),
	} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return sum(append(append(b, e.Data...), extensions...))
}

// sealEntry returns a sealed copy; its Data is that of the original.
func sealEntry(e *raft.Log) *raft.Log {
	sealed := *e
	sealed.Extensions = binary.LittleEndian.AppendUint32(bytes.Clone(e.Extensions), entrySum(e, e.Extensions))
	return &sealed
}

// openEntry decodes an entry as raft-boltdb encoded it and takes its seal off.
func openEntry(it item, h *codec.MsgpackHandle) (*raft.Log, error) {
	e := new(raft.Log)
	d := codec.NewDecoderBytes(it.value, h)
	if err := d.Decode(e); err != nil {
		return nil, damaged("entry %x: %w", it.key, err)
	}
	n := len(e.Extensions) - sealSize
	if n < 0 || d.NumBytesRead() != len(it.value) ||
		!bytes.Equal(binary.BigEndian.AppendUint64(nil, e.Index), it.key) ||
		binary.LittleEndian.Uint32(e.Extensions[n:]) != entrySum(e, e.Extensions[:n]) {
		return nil, damaged("entry %x: seal", it.key)
	}
	if e.Extensions = e.Extensions[:n]; n == 0 {
		e.Extensions = nil
	}
	return e, nil
}

func pairSum(key, value []byte) uint32 {
	b := binary.LittleEndian.AppendUint64([]byte{'p'}, uint64(len(key)))
	return sum(append(append(b, key...), value...))
}

func sealPair(key, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(value), pairSum(key, value))
}

func openPair(it item) ([]byte, error) {
	n := len(it.value) - sealSize
	if n < 0 || binary.LittleEndian.Uint32(it.value[n:]) != pairSum(it.key, it.value[:n]) {
		return nil, damaged("value of %q: seal", it.key)
	}
	return bytes.Clone(it.value[:n]), nil
}

// content is what a file holds.
type content struct {
	entries []*raft.Log       // without a gap; each is immutable
	pairs   map[string][]byte // without the format
}

// parse verifies a whole file and copies out what it holds.
func parse(b []byte) (c content, err error) {
	conf, logs, err := walk(b)
	if err != nil {
		return c, err
	}
	c.pairs = map[string][]byte{}
	for _, it := range conf {
		if c.pairs[string(it.key)], err = openPair(it); err != nil {
			return content{}, err
		}
	}
	v := c.pairs[formatKey]
	if len(v) != 8 {
		return content{}, damaged("it does not say its format")
	}
	if f := binary.BigEndian.Uint64(v); f != format {
		return content{}, fmt.Errorf("%w: %d, known is %d", ErrVersion, f, format)
	}
	delete(c.pairs, formatKey)
	h := new(codec.MsgpackHandle)
	for i, it := range logs {
		e, err := openEntry(it, h)
		if err != nil {
			return content{}, err
		}
		if i > 0 && e.Index != c.entries[i-1].Index+1 || e.Index == 0 {
			return content{}, damaged("entry %d does not follow the one before", e.Index)
		}
		c.entries = append(c.entries, e)
	}
	return c, nil
}

// same reports whether two files hold the same.
func (c content) same(o content) bool {
	if len(c.entries) != len(o.entries) || len(c.pairs) != len(o.pairs) {
		return false
	}
	for i, e := range c.entries {
		f := o.entries[i]
		if e.Index != f.Index || e.Term != f.Term || e.Type != f.Type || !e.AppendedAt.Equal(f.AppendedAt) ||
			!bytes.Equal(e.Data, f.Data) || !bytes.Equal(e.Extensions, f.Extensions) {
			return false
		}
	}
	for k, v := range c.pairs {
		if w, ok := o.pairs[k]; !ok || !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}
