package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"

	"holdfast/raftfsm/fields"
)

const (
	fileMagic  = "HFRAFTLG"
	fileHeader = 16
	version    = 1

	recordMagic  = 0x52464831 // "1HFR"
	recordHeader = 24
	align        = 8
	// maxRecord bounds what a damaged length can make us believe; raft's batches are far smaller.
	maxRecord = 256 << 20
)

func checksum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

func appendFileHeader(b []byte) []byte {
	start := len(b)
	b = append(b, fileMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	return binary.LittleEndian.AppendUint32(b, checksum(b[start:]))
}

func checkFileHeader(b []byte) error {
	if len(b) < fileHeader || string(b[:8]) != fileMagic || checksum(b[:12]) != binary.LittleEndian.Uint32(b[12:]) {
		return fmt.Errorf("%w: file header", ErrDamaged)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return fmt.Errorf("%w: version %d, known is %d", ErrVersion, v, version)
	}
	return nil
}

// appendRecord frames a payload; the padding to the next multiple of 8 is covered by its checksum.
func appendRecord(b []byte, seq uint64, payload []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, recordHeader)...)
	b = append(b, payload...)
	for (len(b)-start)%align != 0 {
		b = append(b, 0)
	}
	h := b[start : start+recordHeader]
	binary.LittleEndian.PutUint32(h, recordMagic)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(h[8:], seq)
	binary.LittleEndian.PutUint32(h[16:], checksum(b[start+recordHeader:]))
	binary.LittleEndian.PutUint32(h[20:], checksum(h[:20]))
	return b
}

// header is a record header that passed its own checksum.
type header struct {
	length, sum uint32
	seq         uint64
}

func (h header) size() int { return recordHeader + (int(h.length)+align-1)/align*align }

func readHeader(b []byte) (header, bool) {
	if len(b) < recordHeader || binary.LittleEndian.Uint32(b) != recordMagic ||
		checksum(b[:20]) != binary.LittleEndian.Uint32(b[20:]) {
		return header{}, false
	}
	h := header{
		length: binary.LittleEndian.Uint32(b[4:]), sum: binary.LittleEndian.Uint32(b[16:]), seq: binary.LittleEndian.Uint64(b[8:]),
	}
	return h, h.length <= maxRecord
}

// readRecord returns the payload of the record at the start of b.
func readRecord(b []byte, seq uint64) (payload []byte, size int, ok bool) {
	h, ok := readHeader(b)
	if !ok || h.seq != seq || h.size() > len(b) || checksum(b[recordHeader:h.size()]) != h.sum {
		return nil, 0, false
	}
	return b[recordHeader : recordHeader+int(h.length)], h.size(), true
}

// laterRecord reports whether a record with a number above seq begins anywhere in b. A write that a
// crash tore is the last thing in the file, so whatever follows a bad record proves damage.
func laterRecord(b []byte, seq uint64) bool {
	for off := align; off+recordHeader <= len(b); off += align {
		if h, ok := readHeader(b[off:]); ok && h.seq > seq {
			return true
		}
	}
	return false
}

// Payload fields: 1 = log entry, 2 = key and value, 3 = entries from this index on are gone.

func appendEntry(b []byte, l *raft.Log) []byte {
	e := fields.AppendUint(nil, 1, l.Index)
	e = fields.AppendUint(e, 2, l.Term)
	e = fields.AppendUint(e, 3, uint64(l.Type))
	e = fields.AppendBytes(e, 4, l.Data)
	e = fields.AppendBytes(e, 5, l.Extensions)
	if !l.AppendedAt.IsZero() {
		e = fields.AppendUint(e, 6, uint64(l.AppendedAt.UnixNano()))
	}
	return fields.AppendMessage(b, 1, e)
}

func decodeEntry(b []byte) (*raft.Log, error) {
	l := new(raft.Log)
	var typ uint32
	var nanos uint64
	err := fields.Walk(b, func(f fields.Field) error {
		switch f.Num {
		case 1:
			return f.Uint(&l.Index)
		case 2:
			return f.Uint(&l.Term)
		case 3:
			return f.Uint32(&typ)
		case 4:
			return f.Copy(&l.Data)
		case 5:
			return f.Copy(&l.Extensions)
		case 6:
			return f.Uint(&nanos)
		}
		return f.Unexpected()
	})
	if typ > 255 || l.Index == 0 {
		return nil, fmt.Errorf("%w: log entry %d of type %d", fields.ErrMalformed, l.Index, typ)
	}
	l.Type = raft.LogType(typ)
	if nanos != 0 {
		l.AppendedAt = time.Unix(0, int64(nanos))
	}
	return l, err
}

func appendCut(b []byte, from uint64) []byte { return fields.AppendUint(b, 3, from) }

func appendPair(b []byte, key string, val []byte) []byte {
	return fields.AppendMessage(b, 2, fields.AppendBytes(fields.AppendText(nil, 1, key), 2, val))
}

func decodePair(b []byte) (key string, val []byte, err error) {
	err = fields.Walk(b, func(f fields.Field) error {
		switch f.Num {
		case 1:
			return f.Text(&key)
		case 2:
			return f.Copy(&val)
		}
		return f.Unexpected()
	})
	return key, val, err
}

// apply replays one payload.
func (l *Log) apply(payload []byte) error {
	return fields.Walk(payload, func(f fields.Field) error {
		var raw []byte
		var from uint64
		switch f.Num {
		case 1:
			if err := f.Bytes(&raw); err != nil {
				return err
			}
			e, err := decodeEntry(raw)
			if err != nil {
				return err
			}
			if n := len(l.entries); n > 0 && e.Index != l.entries[n-1].Index+1 {
				return fmt.Errorf("%w: entry %d follows %d", fields.ErrMalformed, e.Index, l.entries[n-1].Index)
			}
			l.entries = append(l.entries, e)
			return nil
		case 2:
			if err := f.Bytes(&raw); err != nil {
				return err
			}
			k, v, err := decodePair(raw)
			l.pairs[k] = v
			return err
		case 3:
			if err := f.Uint(&from); err != nil {
				return err
			}
			l.cut(from)
			return nil
		}
		return f.Unexpected()
	})
}
