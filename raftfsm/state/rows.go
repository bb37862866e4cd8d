package state

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/fields"
)

// Rows are decoded tolerantly: a field that this program does not know was written by a newer one
// under a feature level that allows to keep it, and it is kept. (Commands are decoded strictly.)

func appendHead(b []byte, h head) []byte {
	b = fields.AppendID(b, 1, h.id)
	b = fields.AppendID(b, 2, h.seed)
	b = fields.AppendUint(b, 3, uint64(h.settings.MaxBuckets))
	b = fields.AppendUint(b, 4, h.feature)
	return fields.AppendUint(b, 5, h.sets)
}

func headField(h *head, f fields.Field) (known bool, err error) {
	switch f.Num {
	case 1:
		return true, f.ID((*[16]byte)(&h.id))
	case 2:
		return true, f.ID(&h.seed)
	case 3:
		return true, f.Uint32(&h.settings.MaxBuckets)
	case 4:
		return true, f.Uint(&h.feature)
	case 5:
		return true, f.Uint(&h.sets)
	}
	return false, nil
}

func appendBlob(b []byte, v []byte) []byte { return fields.AppendBytes(b, 1, v) }

func blobField(v *[]byte, f fields.Field) (known bool, err error) {
	if f.Num == 1 {
		return true, f.Copy(v)
	}
	return false, nil
}

func appendBucket(b []byte, v cluster.Bucket) []byte {
	b = fields.AppendUint(b, 1, uint64(v.ID))
	b = fields.AppendUint(b, 2, v.Revision)
	b = fields.AppendUint(b, 3, uint64(v.Created.UnixNano()))
	b = fields.AppendText(b, 4, v.Owner)
	b = fields.AppendText(b, 5, v.Region)
	b = fields.AppendUint(b, 6, v.Sealing)
	b = fields.AppendText(b, 7, v.Versioning)
	if v.ObjectLock {
		b = fields.AppendUint(b, 8, 1)
	}
	return b
}

func bucketField(v *cluster.Bucket, f fields.Field) (known bool, err error) {
	switch f.Num {
	case 1:
		return true, f.Uint((*uint64)(&v.ID))
	case 2:
		return true, f.Uint(&v.Revision)
	case 3:
		return true, timeField(&v.Created, f)
	case 4:
		return true, f.Text(&v.Owner)
	case 5:
		return true, f.Text(&v.Region)
	case 6:
		return true, f.Uint(&v.Sealing)
	case 7:
		return true, f.Text(&v.Versioning)
	case 8:
		return true, f.Bool(&v.ObjectLock)
	}
	return false, nil
}

func appendChange(b []byte, v cluster.Change) []byte {
	b = fields.AppendUint(b, 1, v.Index)
	b = fields.AppendID(b, 2, v.Request)
	b = fields.AppendUint(b, 3, uint64(v.Time.UnixNano()))
	b = fields.AppendText(b, 4, v.Who)
	b = fields.AppendText(b, 5, v.What)
	b = fields.AppendText(b, 6, v.Subject)
	return fields.AppendText(b, 7, v.Why)
}

func changeField(v *cluster.Change, f fields.Field) (known bool, err error) {
	switch f.Num {
	case 1:
		return true, f.Uint(&v.Index)
	case 2:
		return true, f.ID(&v.Request)
	case 3:
		return true, timeField(&v.Time, f)
	case 4:
		return true, f.Text(&v.Who)
	case 5:
		return true, f.Text(&v.What)
	case 6:
		return true, f.Text(&v.Subject)
	case 7:
		return true, f.Text(&v.Why)
	}
	return false, nil
}

func timeField(t *time.Time, f fields.Field) error {
	var n uint64
	err := f.Uint(&n)
	*t = time.Unix(0, int64(n)).UTC()
	return err
}

// whole adapts a decoder that takes all fields of a row at once and keeps none it does not know.
func whole[T any](decode func([]byte) (T, error)) func(key string, b []byte) (*rec[T], error) {
	return func(key string, b []byte) (*rec[T], error) {
		v, err := decode(b)
		return &rec[T]{key: key, val: v}, err
	}
}

// each adapts a decoder that takes one field at a time; fields it does not know are kept.
func each[T any](field func(*T, fields.Field) (bool, error)) func(key string, b []byte) (*rec[T], error) {
	return func(key string, b []byte) (*rec[T], error) {
		r := &rec[T]{key: key}
		err := fields.Walk(b, func(f fields.Field) error {
			known, err := field(&r.val, f)
			if !known {
				r.unknown = append(r.unknown, f.Raw...)
			}
			return err
		})
		return r, err
	}
}

// load decodes one row into its table.
func load[T any](t *table[T], key string, row []byte, decode func(string, []byte) (*rec[T], error)) error {
	body, err := openRow(key, row)
	if err != nil {
		return err
	}
	r, err := decode(key, body)
	if err != nil {
		return rowError(key, ErrCorrupt, err.Error())
	}
	r.row = append([]byte(nil), row...)
	*t = append(*t, r) // FromRows goes through the keys in order
	return nil
}

// FromRows builds a state from its rows and verifies it: each row's checksum, the digest over all,
// and every invariant. index and term are those of the last command in it. It keeps no reference
// to rows.
func FromRows(index, term uint64, digest Digest, rows map[string][]byte) (*State, error) {
	s := &State{index: index, term: term, rows: len(rows)}
	keys := make([]string, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, key := range keys {
		s.digest.Toggle(key, rows[key])
		if err := s.load(key, rows[key]); err != nil {
			return nil, fmt.Errorf("state %d: %w", index, err)
		}
	}
	if s.digest != digest {
		return nil, fmt.Errorf("state %d: %w: digest over %d rows does not match", index, ErrCorrupt, len(rows))
	}
	s.topology = s.buildTopology()
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("state %d: %w: %w", index, ErrCorrupt, err)
	}
	return s, nil
}

func (s *State) load(key string, row []byte) error {
	kind, name, _ := strings.Cut(key, "/")
	switch kind {
	case "cluster":
		return load(&s.head, key, row, each(headField))
	case "root":
		return load(&s.root, key, row, each(blobField))
	case "node":
		return load(&s.nodes, key, row, whole(command.DecodeNode))
	case "drive":
		return load(&s.drives, key, row, whole(command.DecodeDrive))
	case "sets":
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			return rowError(key, ErrCorrupt, "not a set number")
		}
		return load(&s.sets, key, row, whole(command.DecodeSets))
	case "bucket":
		err := load(&s.buckets, key, row, each(bucketField))
		if err == nil {
			s.buckets[len(s.buckets)-1].val.Name = cluster.BucketName(name)
		}
		return err
	case "cred":
		return load(&s.creds, key, row, each(blobField))
	case "log":
		return load(&s.log, key, row, each(changeField))
	}
	return rowError(key, ErrNewer, "unknown kind of row")
}
