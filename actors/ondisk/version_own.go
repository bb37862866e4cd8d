package ondisk

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"holdfast/actors/object"
)

// VersionOwn is the part of an M row that belongs to the drive which holds it: what it knows of the
// version's acceptance. The rest of the row is the same on every drive of the set.
type VersionOwn struct {
	Batch  uint64 // batch of the drive that wrote this row; readers wait until it is durable
	Slot   uint8  // slot of the set's coding matrix that its shard belongs to
	Data   bool   // the shard, or the part table, is here
	Null   bool   // the null version of its key
	Epoch  uint64 // the set epoch in which the attempt was stamped
	Upload object.WriteID
	Ballot object.VersionRef // under which it was accepted; zero: its own
	Seats  []Seat            // the epochs in which it was accepted; of no use once it is stable
	At     Location          // where the drive keeps the shard, if it is a small one
}

// Seat is the part that a drive had in a set epoch in which it accepted a version, and under which ballot.
type Seat struct {
	Epoch    uint64
	Ballot   object.VersionRef // zero: the version's own
	W        uint8             // below 16
	Joint    bool
	Old, New bool
}

// versionPrefix is what a drive puts before its own fields: format, batch, slot.
const versionPrefix = 1 + 8 + 1

// ownRoom is what MaxVersionRow leaves for a drive's own fields.
const ownRoom = 256

// Fields of the drive's own part of a version row. Append only.
const (
	oFlags  protowire.Number = 1
	oEpoch  protowire.Number = 2
	oSeats  protowire.Number = 3 // each: varint epoch, W and flags in one byte, ballot if it is another
	oBallot protowire.Number = 4
	oUpload protowire.Number = 5
	oAt     protowire.Number = 6 // file 4, offset 4, length 4
)

// Flags of the own part, and of a seat.
const (
	ownData   = 1
	ownNull   = 2
	ownFlags  = ownData | ownNull
	seatW     = 1<<4 - 1
	seatOther = 1 << 4 // a ballot follows
	seatJoint = 1 << 5
	seatOld   = 1 << 6
	seatNew   = 1 << 7
)

// AppendVersionValue appends the value of an M row: what this drive adds, then the shared part as
// AppendVersion made it.
func AppendVersionValue(dst []byte, own *VersionOwn, shared []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, rowFormat), own.Batch)
	dst = append(dst, own.Slot, 0)
	start := len(dst)
	flags := uint64(0)
	if own.Data {
		flags |= ownData
	}
	if own.Null {
		flags |= ownNull
	}
	dst = appendUint(dst, oFlags, flags)
	dst = appendUint(dst, oEpoch, own.Epoch)
	if len(own.Seats) > 0 {
		var at int
		dst, at = beginMessage(dst, oSeats)
		for i := range own.Seats {
			dst = appendSeat(dst, &own.Seats[i])
		}
		dst = endMessage(dst, at)
	}
	if own.Ballot != (object.VersionRef{}) {
		dst = appendVersionRef(dst, oBallot, own.Ballot)
	}
	dst = appendID(dst, oUpload, own.Upload)
	dst = appendLocation(dst, oAt, own.At)
	return append(endMessage(dst, start), shared...)
}

func appendSeat(dst []byte, s *Seat) []byte {
	b := s.W & seatW
	if s.Joint {
		b |= seatJoint
	}
	if s.Old {
		b |= seatOld
	}
	if s.New {
		b |= seatNew
	}
	dst = binary.AppendUvarint(dst, s.Epoch)
	if s.Ballot == (object.VersionRef{}) {
		return append(dst, b)
	}
	dst = binary.BigEndian.AppendUint64(append(dst, b|seatOther), uint64(s.Ballot.TS))
	return append(dst, s.Ballot.Write[:]...)
}

// cutVersionValue finds the parts of an M row's value; both alias it.
func cutVersionValue(value []byte) (own, shared []byte, err error) {
	if len(value) == 0 || value[0] != rowFormat {
		d := rowDecoder("version row", value)
		return nil, nil, d.err
	}
	if len(value) > versionPrefix {
		n, m := uvarint(value[versionPrefix:])
		if rest := value[versionPrefix:]; m > 0 && n < uint64(len(rest)-m) {
			return rest[m : m+int(n)], rest[m+int(n):], nil
		}
	}
	return nil, nil, fmt.Errorf("%w: version row of %d bytes", ErrCorrupt, len(value))
}

// SplitVersionValue cuts the value of an M row. shared aliases value.
func SplitVersionValue(value []byte) (batch uint64, slot uint8, shared []byte, err error) {
	if _, shared, err = cutVersionValue(value); err != nil {
		return 0, 0, nil, err
	}
	return binary.BigEndian.Uint64(value[1:]), value[9], shared, nil
}

// DecodeVersionOwn reads the drive's own part of an M row into own, whose Seats it uses again, and
// returns the shared part, which aliases value.
func DecodeVersionOwn(own *VersionOwn, value []byte) (shared []byte, err error) {
	fields, shared, err := cutVersionValue(value)
	if err != nil {
		return nil, err
	}
	*own = VersionOwn{Batch: binary.BigEndian.Uint64(value[1:]), Slot: value[9], Seats: own.Seats[:0]}
	d := decoder{what: "version row", rest: fields}
	for d.next() {
		switch d.num {
		case oFlags:
			flags := d.u64()
			if flags&^ownFlags != 0 {
				d.newer("unknown flag")
			}
			own.Data, own.Null = flags&ownData != 0, flags&ownNull != 0
		case oEpoch:
			own.Epoch = d.u64()
		case oSeats:
			own.Seats = d.seats(own.Seats)
		case oBallot:
			own.Ballot = d.versionRef()
		case oUpload:
			own.Upload = d.id()
		case oAt:
			own.At = d.location()
		default:
			d.newer("unknown field") // there is no room to keep it when the row is written again
		}
	}
	return shared, d.err
}

// locationLen is the length of a location.
const locationLen = 4 + 4 + 4

func appendLocation(dst []byte, num protowire.Number, at Location) []byte {
	if at.IsZero() {
		return dst
	}
	dst = appendElementHead(dst, num, locationLen)
	dst = binary.BigEndian.AppendUint32(dst, at.File)
	dst = binary.BigEndian.AppendUint32(dst, at.Offset)
	return binary.BigEndian.AppendUint32(dst, at.Length)
}

func (d *decoder) location() Location {
	p := d.bytes()
	if len(p) != locationLen {
		d.fail("bad location")
		return Location{}
	}
	at := Location{File: binary.BigEndian.Uint32(p), Offset: binary.BigEndian.Uint32(p[4:]), Length: binary.BigEndian.Uint32(p[8:])}
	if at.IsZero() {
		d.fail("no location")
	}
	return at
}

func (d *decoder) seats(dst []Seat) []Seat {
	for p := d.bytes(); len(p) > 0; {
		epoch, n := uvarint(p)
		if n <= 0 || n == len(p) {
			d.fail("bad list of seats")
			return dst
		}
		b := p[n]
		s := Seat{Epoch: epoch, W: b & seatW, Joint: b&seatJoint != 0, Old: b&seatOld != 0, New: b&seatNew != 0}
		if p = p[n+1:]; b&seatOther != 0 {
			if len(p) < refLen {
				d.fail("bad list of seats")
				return dst
			}
			s.Ballot = object.VersionRef{TS: object.Stamp(binary.BigEndian.Uint64(p)), Write: object.WriteID(p[8:refLen])}
			p = p[refLen:]
		}
		dst = append(dst, s)
	}
	return dst
}
