package drive

import (
	"bytes"
	"context"

	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/quorum"
	"holdfast/raftfsm/cluster"
)

// keyed is what a walk over versions remembers of the key that it is at.
type keyed struct {
	prefix []byte // of the key's rows
	name   string
	set    cluster.SetID
	full   bool
	asked  bool
	below  object.VersionRef // only older versions are wanted; zero: all
	stands quorum.Standing
}

// walkVersions walks all versions of all keys, where run looks at the newest one of each.
func (s *scan) walkVersions(ctx context.Context) error {
	var k keyed
	for n, ok := 0, s.it.First(); ok; n++ {
		if n%scanCheck == scanCheck-1 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if ondisk.IsKeyStateKey(s.it.Key()) {
			ok = s.it.Next()
			continue
		}
		if err := s.look(); err != nil {
			return err
		}
		if !bytes.Equal(s.at.prefix, k.prefix) {
			if err := s.enter(&k); err != nil {
				return err
			}
		}
		if !k.asked {
			ok = s.it.NextPrefix()
			continue
		}
		common, done, err := s.visitVersion(&k)
		if err != nil || done {
			return err
		}
		if common == "" {
			ok = s.it.Next()
			continue
		}
		s.seek = ondisk.AppendPrefixAfter(s.seek[:0], s.req.Bucket, common)
		ok = len(s.seek) > 0 && s.it.SeekGE(s.seek)
	}
	return s.it.Error()
}

// enter begins the next key.
func (s *scan) enter(k *keyed) (err error) {
	*k = keyed{prefix: append(k.prefix[:0], s.at.prefix...)}
	if s.name, err = ondisk.AppendName(s.name[:0], s.at.escaped); err != nil {
		return err
	}
	k.name = string(s.name)
	k.set = s.req.Sets(k.name)
	k.full = quorum.HasSet(s.req.Full, k.set)
	k.asked = k.full || quorum.HasSet(s.req.Witness, k.set)
	if k.name == s.req.Start {
		k.below = s.req.Below
	}
	return nil
}

// visitVersion looks at the row that look took apart; as visit.
func (s *scan) visitVersion(k *keyed) (common string, done bool, err error) {
	r := &s.at
	if _, err := ondisk.DecodeVersionOwn(&s.own, r.value); err != nil {
		return "", false, err
	}
	unstable := s.unstable(r.revision)
	if !k.stands.Next(r.ref, quorum.Kind(r.kind), s.own.Null, !unstable) {
		return "", false, nil
	}
	if k.below != (object.VersionRef{}) && r.ref.Compare(k.below) >= 0 {
		return "", false, nil
	}
	e := Entry{Name: k.name, Set: k.set, Ref: r.ref, Rev: r.rev, Kind: quorum.Kind(r.kind), Unstable: unstable, Null: s.own.Null}
	if at := s.delimiter(k.name); at >= 0 {
		e.Name, e.Common, e.Example = k.name[:at], true, k.name
		common = e.Name
	}
	if len(s.reply.Entries) == s.limit {
		s.reply.Truncated = true
		return "", true, nil
	}
	if k.full && !e.Common {
		e.Row = s.keep(r.shared)
	}
	s.batch = max(s.batch, r.batch)
	s.reply.Entries = append(s.reply.Entries, e)
	return common, false, nil
}
