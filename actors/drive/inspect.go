package drive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/guardfs"
	"holdfast/actors/journal"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/actors/segment"
	"holdfast/raftfsm/cluster"
)

// InspectQuery says what Inspect shall look at beside the drive as a whole.
type InspectQuery struct {
	// FS holds the drive; nil is the operating system's.
	FS vfs.FS
	// Key asks for all versions of one name, in the bucket with this id, or in all if it is 0.
	Bucket cluster.BucketID
	Key    string
	// Verify reads all segments and checks every frame; otherwise only those of Key.
	Verify bool
}

// Inspection is what lies on a drive. Nothing in it is a judgement about the set.
type Inspection struct {
	Path  string
	InUse bool // a running process holds the drive: what follows may be torn
	Label ondisk.Label

	Rows    map[ondisk.RowKind]RowCount
	Marks   ondisk.Marks
	Control *ondisk.ControlMeta // nil: no copy of the control state
	// ControlRows are the rows of that copy by name, for who can read them.
	ControlRows map[string][]byte
	Fences      map[cluster.BucketID]ondisk.Fence
	Usage       map[cluster.BucketID]ondisk.Usage
	Segments    []SegmentReport
	Journal     []JournalReport
	JournalEnd  ondisk.JournalEnd // zero if it cannot be read
	Versions    []VersionReport   // of the key asked for, newest first within a bucket
	States      []StateReport     // of the key asked for: what the drive remembers beside them
	Uploads     []UploadReport    // of the key asked for
	Damage      []string          // everything found wrong, at most maxDamage of them
	Damaged     int               // how many there were
}

// RowCount counts the rows of one kind.
type RowCount struct{ Rows, Bytes int64 }

// SegmentReport is one segment: its row and, if it was walked, its frames.
type SegmentReport struct {
	Number  uint32
	Row     ondisk.SegmentRow
	File    int64 // bytes, -1 if the file is missing
	Walked  bool
	Frames  int
	Damaged int
}

// VersionReport is one version of a key.
type VersionReport struct {
	Key     object.Key
	Version ondisk.Version
	Own     ondisk.VersionOwn // how this drive came to it
	Stable  bool
	Parts   []ondisk.Part
	Shards  []ShardReport // one, or one for each part
}

// StateReport is what the drive remembers of a key beside its versions.
type StateReport struct {
	Key   object.Key
	State ondisk.KeyState
}

// UploadReport is one open upload of a key.
type UploadReport struct {
	Key    object.Key
	Upload ondisk.Upload
	Parts  []ondisk.UploadPart
}

// ShardReport is one shard and whether its bytes pass their checksums.
type ShardReport struct {
	OID     object.OID
	Inline  bool
	At      ondisk.Location // where in the journal, if it is inline and not of a part
	Size    int64
	Extents []ondisk.Extent
	Damage  string // "" = all bytes are good
}

// maxDamage bounds the list of damages.
const maxDamage = 100

// Inspect opens a drive's directory for reading, changing nothing, and tells what is there. Damage
// is part of the result; an error means that nothing could be told beyond what the result holds.
func Inspect(ctx context.Context, dir string, q InspectQuery) (*Inspection, error) {
	if q.FS == nil {
		q.FS = vfs.Default
	}
	in := &inspector{ctx: ctx, q: q, dir: dir, fs: readOnlyFS{q.FS}, Inspection: Inspection{
		Path: dir, Rows: map[ondisk.RowKind]RowCount{},
		Fences: map[cluster.BucketID]ondisk.Fence{}, Usage: map[cluster.BucketID]ondisk.Usage{},
		ControlRows: map[string][]byte{},
	}, pending: map[revision]bool{}, damagedFrames: map[object.OID]string{}, live: map[uint32][]span{}}
	if err := in.run(); err != nil {
		return &in.Inspection, fmt.Errorf("inspect %s: %w", dir, err)
	}
	return &in.Inspection, nil
}

type inspector struct {
	Inspection
	ctx     context.Context // of the one call that the inspector serves
	q       InspectQuery
	dir     string
	fs      vfs.FS
	db      *pebble.DB
	rows    pebble.Reader // the index, under the rows that only the journal has
	journal *journal.Journal
	pending map[revision]bool
	wanted  []uint32 // segments that the key's shards lie in

	damagedFrames map[object.OID]string

	manifest    ondisk.ManifestDecoder // of the X rows that are being walked
	manifestOID object.OID
	live        map[uint32][]span // by segment: what X rows refer to
}

// span is a run of bytes of a segment file.
type span struct{ from, to int64 }

func (in *inspector) damage(format string, args ...any) {
	in.Damaged++
	if len(in.Damage) < maxDamage {
		in.Damage = append(in.Damage, fmt.Sprintf(format, args...))
	}
}

func (in *inspector) run() (err error) {
	if in.Label, err = readLabel(in.fs, in.dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (is it mounted?): %w", ErrNoStore, err)
	} else if err != nil {
		return err
	}
	if vfs.Root(in.q.FS) == vfs.Default {
		if in.InUse, err = isLocked(in.dir); err != nil {
			in.damage("%v", err)
		}
	}
	if err := in.openIndex(); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	in.rows = in.db
	defer func() { err = errors.Join(err, in.close()) }()
	if err := in.openJournal(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := eachRowIn(in.rows, nil, nil, in.row); err != nil {
		in.damage("index: %v", err)
	}
	if in.q.Key != "" {
		in.key()
	}
	in.segments()
	in.journalFiles()
	for i := range in.Versions {
		for j := range in.Versions[i].Shards {
			s := &in.Versions[i].Shards[j]
			if d := in.damagedFrames[s.OID]; d != "" && s.Damage == "" {
				s.Damage = d
			}
		}
	}
	return in.ctx.Err()
}

// openIndex opens the index without the guard: there is nothing to fail, and an error is an answer.
func (in *inspector) openIndex() error {
	if err := checkIndexFiles(in.fs, in.dir); err != nil {
		return err
	}
	opts := indexOptions(in.fs, Options{}.withDefaults(), minMemTable, guardfs.NewHealth())
	opts.ReadOnly = true
	failed := make(chan error, 1)
	opts.Logger = inspectLogger{failed}
	opts.EventListener = &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) {
		in.damage("%s: %v", i.Path, i.Details)
	}}
	opened := make(chan error, 1)
	go func() {
		db, err := pebble.Open(path.Join(in.dir, indexDir), opts)
		in.db = db
		opened <- err
	}()
	select {
	case err := <-opened:
		return err
	case err := <-failed:
		return err
	case <-in.ctx.Done():
		return in.ctx.Err()
	}
}

// inspectLogger turns Pebble's last word into an error.
type inspectLogger struct{ failed chan error }

func (inspectLogger) Infof(string, ...any)  {}
func (inspectLogger) Errorf(string, ...any) {}
func (l inspectLogger) Fatalf(format string, args ...any) {
	select {
	case l.failed <- fmt.Errorf("%w: %s", ondisk.ErrCorrupt, fmt.Sprintf(format, args...)):
	default:
	}
	select {} // Pebble takes a return for success
}

// row counts one row and keeps what is small.
func (in *inspector) row(key, value []byte) error {
	if err := in.ctx.Err(); err != nil {
		return err
	}
	kind := ondisk.KindOf(key)
	if ondisk.IsKeyStateKey(key) {
		kind = ondisk.RowKeyState
	}
	c := in.Rows[kind]
	c.Rows++
	c.Bytes += int64(len(key) + len(value))
	in.Rows[kind] = c
	if err := in.decode(kind, key, value); err != nil {
		in.damage("row %q: %v", strings.ToValidUTF8(string(key), "?"), err)
	}
	return nil
}

// decode checks a row as far as it can be checked by itself.
func (in *inspector) decode(kind ondisk.RowKind, key, value []byte) error {
	switch kind {
	case ondisk.RowVersion:
		return in.versionRow(key, value)
	case ondisk.RowJournal:
		return in.journalRow(key, value)
	case ondisk.RowInline:
		_, err := ondisk.DecodeInline(value)
		return err
	case ondisk.RowManifest:
		return in.manifestRow(key, value)
	case ondisk.RowPending:
		p, err := ondisk.DecodePending(value)
		in.pending[revision{p.Ref, p.Rev}] = true
		return err
	case ondisk.RowHint:
		_, err := ondisk.DecodePending(value)
		return err
	case ondisk.RowMarks:
		var err error
		in.Marks, err = ondisk.DecodeMarks(value)
		return err
	case ondisk.RowFence:
		id, err := ondisk.ParseFenceKey(key)
		if err == nil {
			in.Fences[id], err = ondisk.DecodeFence(value)
		}
		return err
	case ondisk.RowUsage:
		id, err := ondisk.ParseUsageKey(key)
		if err == nil {
			in.Usage[id], err = ondisk.DecodeUsage(value)
		}
		return err
	case ondisk.RowControl:
		name, err := ondisk.ParseControlKey(key)
		if err != nil || name != "" {
			if err == nil {
				var row []byte
				row, err = ondisk.DecodeControl(name, value)
				in.ControlRows[name] = slices.Clone(row)
			}
			return err
		}
		meta, err := ondisk.DecodeControlMeta(value)
		in.Control = &meta
		return err
	case ondisk.RowSegment:
		no, err := ondisk.ParseSegmentKey(key)
		if err != nil {
			return err
		}
		row, err := ondisk.DecodeSegmentRow(value)
		in.Segments = append(in.Segments, SegmentReport{Number: no, Row: row})
		return err
	case ondisk.RowSet:
		_, err := ondisk.DecodeSetRow(value)
		return err
	case ondisk.RowKeyState:
		_, err := ondisk.DecodeKeyState(value)
		return err
	case ondisk.RowGarbage:
		_, err := ondisk.DecodeGarbage(value)
		return err
	}
	return nil
}

// manifestRow takes the next X row; they come in the order of oid and chunk.
func (in *inspector) manifestRow(key, value []byte) error {
	oid, chunk, err := ondisk.ParseManifestKey(key)
	if err != nil {
		return err
	}
	if oid != in.manifestOID {
		in.manifest, in.manifestOID = ondisk.ManifestDecoder{}, oid
	}
	if err := in.manifest.Add(chunk, value); err != nil || !in.manifest.Complete() {
		return err
	}
	m, err := in.manifest.Manifest()
	for _, e := range m.Extents {
		in.live[e.Segment] = append(in.live[e.Segment], span{e.Offset, e.Offset + e.Length})
	}
	return err
}

// matters says whether anything refers to the bytes at an offset. What a stop left of an upload
// that was never committed may be torn, and is nobody's.
func (in *inspector) matters(segment uint32, off int64) bool {
	return slices.ContainsFunc(in.live[segment], func(s span) bool { return s.from <= off && off < s.to })
}

// key reads all that the drive has of the name asked for.
func (in *inspector) key() {
	err := eachRow(in.rows, ondisk.RowVersion, func(key, value []byte) error {
		if k, err := ondisk.ParseKeyStateKey(key); err == nil {
			if state, err := ondisk.DecodeKeyState(value); err == nil && in.asked(k) {
				in.States = append(in.States, StateReport{Key: k, State: state})
			}
			return nil
		}
		k, err := ondisk.ParseVersionKey(key)
		if err != nil || !in.asked(k.Key) {
			return nil // counted as damage before
		}
		v, err := ondisk.DecodeVersion(k.Ref, k.Rev, slices.Clone(value))
		if err != nil {
			return nil
		}
		var own ondisk.VersionOwn
		_, _ = ondisk.DecodeVersionOwn(&own, value) // counted as damage before
		r := in.version(k.Key, v, own)
		in.Versions = append(in.Versions, r)
		return in.ctx.Err()
	})
	if err != nil {
		in.damage("rows of %q: %v", in.q.Key, err)
	}
	err = eachRow(in.rows, ondisk.RowUpload, func(key, value []byte) error {
		k, err := ondisk.ParseUploadKey(key)
		if err != nil || !in.asked(k.Key) {
			return nil
		}
		if k.IsPart {
			if p, err := ondisk.DecodeUploadPart(value); err == nil && len(in.Uploads) > 0 {
				last := &in.Uploads[len(in.Uploads)-1]
				last.Parts = append(last.Parts, p)
			}
			return nil
		}
		up, err := ondisk.DecodeUpload(k.Upload, slices.Clone(value))
		if err == nil {
			in.Uploads = append(in.Uploads, UploadReport{Key: k.Key, Upload: up})
		}
		return in.ctx.Err()
	})
	if err != nil {
		in.damage("uploads of %q: %v", in.q.Key, err)
	}
}

func (in *inspector) asked(k object.Key) bool {
	return k.Name == in.q.Key && (in.q.Bucket == 0 || in.q.Bucket == k.Bucket)
}

func (in *inspector) version(key object.Key, v ondisk.Version, own ondisk.VersionOwn) VersionReport {
	r := VersionReport{Key: key, Version: v, Own: own, Stable: !in.pending[revision{object.VersionRef{TS: v.TS, Write: v.Write}, v.Rev}]}
	for _, ref := range v.Refs {
		if v.Parts == 0 {
			r.Shards = append(r.Shards, in.shard(ref, own.At))
			continue
		}
		m, err := readManifest(in.rows, ref.OID)
		if err != nil {
			in.damage("part table of %s: %v", ref.OID, err)
			continue
		}
		r.Parts = m.Parts
		for i := range m.Parts {
			if m.Parts[i].Stored > 0 { // else there is nothing that a shard could hold
				r.Shards = append(r.Shards, in.shard(m.Parts[i].Ref, ondisk.Location{}))
			}
		}
	}
	return r
}

// shard finds where a shard lies; frames are checked later, segment by segment.
func (in *inspector) shard(ref ondisk.Ref, at ondisk.Location) ShardReport {
	if ref.Inline {
		return in.inlineShard(ref, at)
	}
	s := ShardReport{OID: ref.OID}
	m, err := readManifest(in.rows, ref.OID)
	if err != nil {
		s.Damage = err.Error()
		return s
	}
	s.Extents, s.Size = m.Extents, segment.ShardBytes(m.Extents)
	for _, e := range m.Extents {
		in.wanted = append(in.wanted, e.Segment)
	}
	return s
}

// segments looks at the files of all segments and walks those that are to be verified.
func (in *inspector) segments() {
	for i := range in.Segments {
		s := &in.Segments[i]
		name := path.Join(in.dir, segmentDir, fmt.Sprintf("%08d.seg", s.Number))
		info, err := in.fs.Stat(name)
		if err != nil {
			s.File = -1
			if s.Row.Live > 0 {
				in.damage("segment %d holds %d live bytes and its file is missing: %v", s.Number, s.Row.Live, err)
			}
			continue
		}
		s.File = info.Size()
		if err := mustBeFile(info, name); err != nil {
			in.damage("segment %d: %v", s.Number, err)
			continue
		}
		if s.Row.Live == 0 || !in.q.Verify && !slices.Contains(in.wanted, s.Number) {
			continue
		}
		s.Walked = true
		_, err = segment.Inspect(in.fs, name, func(f segment.Found) error {
			s.Frames++
			if f.Damage != nil && in.matters(s.Number, f.Off) {
				s.Damaged++
				in.damage("segment %d, frame at %d of shard %s: %v", s.Number, f.Off, f.Header.OID, f.Damage)
				in.damagedFrames[f.Header.OID] = f.Damage.Error()
			}
			return in.ctx.Err()
		})
		if err != nil {
			in.damage("segment %d: %v", s.Number, err)
		}
	}
}
