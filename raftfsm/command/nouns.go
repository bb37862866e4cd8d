package command

import (
	"encoding/binary"
	"fmt"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/fields"
)

// The nouns that both commands and rows of the state carry.

// AppendNode appends the fields of a node.
func AppendNode(b []byte, n cluster.Node) []byte {
	return fields.AppendText(fields.AppendID(b, 1, n.ID), 2, n.Name)
}

// DecodeNode reads what AppendNode wrote.
func DecodeNode(b []byte) (n cluster.Node, err error) {
	err = fields.Walk(b, func(f fields.Field) error {
		switch f.Num {
		case 1:
			return f.ID((*[16]byte)(&n.ID))
		case 2:
			return f.Text(&n.Name)
		}
		return f.Unexpected()
	})
	return n, err
}

// AppendDrive appends the fields of a drive.
func AppendDrive(b []byte, d cluster.Drive) []byte {
	b = fields.AppendID(b, 1, d.ID)
	b = fields.AppendID(b, 2, d.Node)
	return fields.AppendText(b, 3, d.Path)
}

// DecodeDrive reads what AppendDrive wrote.
func DecodeDrive(b []byte) (d cluster.Drive, err error) {
	err = fields.Walk(b, func(f fields.Field) error { return driveField(&d, f) })
	if err == nil {
		err = checkDrive(d)
	}
	return d, err
}

func driveField(d *cluster.Drive, f fields.Field) error {
	switch f.Num {
	case 1:
		return f.ID((*[16]byte)(&d.ID))
	case 2:
		return f.ID((*[16]byte)(&d.Node))
	case 3:
		return f.Text(&d.Path)
	}
	return f.Unexpected()
}

func checkDrive(d cluster.Drive) error {
	if d.ID.IsZero() {
		return errMissing("drive id")
	}
	return nil
}

// AppendSets appends a run of sets: first (field 1) each drive they name, in order of appearance,
// then (field 2) each set as its epoch and its members by their place in that list. Naming 16-byte
// identities once makes 1024 sets of 16 slots 25 KB instead of 265.
func AppendSets(b []byte, sets []cluster.Set) []byte {
	place := map[cluster.DriveID]uint64{}
	for _, s := range sets {
		for _, id := range s.Members {
			if _, ok := place[id]; !ok {
				place[id] = uint64(len(place))
				b = fields.AppendMessage(b, 1, id[:])
			}
		}
	}
	var set, members []byte
	for _, s := range sets {
		members = members[:0]
		for _, id := range s.Members {
			members = binary.AppendUvarint(members, place[id])
		}
		set = fields.AppendUint(set[:0], 1, s.Epoch)
		b = fields.AppendMessage(b, 2, fields.AppendBytes(set, 2, members))
	}
	return b
}

// DecodeSets reads what AppendSets wrote.
func DecodeSets(b []byte) ([]cluster.Set, error) {
	var drives []cluster.DriveID
	var sets []cluster.Set
	err := fields.Walk(b, func(f fields.Field) error {
		switch f.Num {
		case 1:
			var id cluster.DriveID
			err := f.ID((*[16]byte)(&id))
			drives = append(drives, id)
			return err
		case 2:
			var raw []byte
			if err := f.Bytes(&raw); err != nil {
				return err
			}
			s, err := decodeSet(raw, drives)
			sets = append(sets, s)
			return err
		}
		return f.Unexpected()
	})
	return sets, err
}

func decodeSet(b []byte, drives []cluster.DriveID) (s cluster.Set, err error) {
	err = fields.Walk(b, func(f fields.Field) error {
		switch f.Num {
		case 1:
			return f.Uint(&s.Epoch)
		case 2:
			var raw []byte
			if err := f.Bytes(&raw); err != nil {
				return err
			}
			for len(raw) > 0 {
				i, n := binary.Uvarint(raw)
				if n <= 0 || i >= uint64(len(drives)) {
					return fmt.Errorf("%w: a set names a drive that is not listed", fields.ErrMalformed)
				}
				s.Members = append(s.Members, drives[i])
				raw = raw[n:]
			}
			return nil
		}
		return f.Unexpected()
	})
	return s, err
}
