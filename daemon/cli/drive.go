package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"holdfast/actors/drive"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/daemon/node"
	"holdfast/raftfsm/cluster"
)

func driveCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{Use: "drive", Short: "Look at a single drive"}
	cmd.AddCommand(inspectCommand(out))
	return cmd
}

func inspectCommand(out io.Writer) *cobra.Command {
	var key string
	var verify, asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect PATH",
		Short: "Print what is on a drive: format, rows, extents, checksums, damage",
		Long: `Print what is on a drive. Nothing is written. The drive should not be in service: what a
running server changes meanwhile may show as damage. The exit code is 1 if damage was found.`,
		Example: `  holdfast drive inspect /mnt/drive1
  holdfast drive inspect /mnt/drive1 --key photos/2026/cat.jpg
  holdfast drive inspect /mnt/drive1 --verify --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := node.InspectDrive(cmd.Context(), args[0], key, verify)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(out, in)
			} else {
				err = printInspection(out, in, key != "", verify)
			}
			if err == nil && in.Damaged > 0 {
				err = fmt.Errorf("drive %s: %d damaged places", args[0], in.Damaged)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "show all versions of this object, given as bucket/key")
	cmd.Flags().BoolVar(&verify, "verify", false, "read every segment and check every frame")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printInspection prints for people: one block for each subject, aligned.
func printInspection(out io.Writer, in *node.Inspected, key, verified bool) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	l := in.Label
	fmt.Fprintf(w, "drive\t%s\npath\t%s\ncluster\t%s\ncreated\t%s\n", l.Drive, in.Path, l.Cluster, l.Created.Format(time.RFC3339))
	fmt.Fprintf(w, "segments of\t%d bytes\ninline up to\t%d bytes\n", l.SegmentSize, l.Inline)
	fmt.Fprintf(w, "last batch\t%d\n", in.Marks.Batch)
	if in.InUse {
		fmt.Fprintf(w, "IN USE\ta running process holds this drive: what follows may be torn\n")
	}
	if in.Control != nil {
		fmt.Fprintf(w, "control state\tindex %d, term %d, %d rows\n", in.Control.Index, in.Control.Term, in.Control.Rows)
	} else {
		fmt.Fprintf(w, "control state\tnone\n")
	}
	if key {
		printVersions(w, in)
	} else {
		printContents(w, in)
	}
	for _, d := range in.Damage {
		fmt.Fprintf(w, "DAMAGE\t%s\n", d)
	}
	if more := in.Damaged - len(in.Damage); more > 0 {
		fmt.Fprintf(w, "DAMAGE\t%d more\n", more)
	}
	switch {
	case in.Damaged > 0:
	case verified || key:
		fmt.Fprintf(w, "damage\tnone found\n")
	default:
		fmt.Fprintf(w, "damage\tnone found in the index; the data was not read (--verify does)\n")
	}
	return w.Flush()
}

// printContents prints counts of rows, buckets and segments.
func printContents(w io.Writer, in *node.Inspected) {
	fmt.Fprintf(w, "\nrows\tnumber\tbytes\n")
	for _, kind := range slices.Sorted(maps.Keys(in.Rows)) {
		fmt.Fprintf(w, "  %c %s\t%d\t%d\n", kind, rowName(kind), in.Rows[kind].Rows, in.Rows[kind].Bytes)
	}
	fmt.Fprintf(w, "\nbuckets\tobjects\tbytes\tuploads\n")
	names := map[cluster.BucketID]string{}
	for _, b := range in.Buckets {
		names[b.ID] = string(b.Name)
	}
	for _, id := range slices.Sorted(maps.Keys(in.Usage)) {
		name := names[id]
		if name == "" {
			name = fmt.Sprintf("(unknown bucket %d)", id)
		}
		u := in.Usage[id]
		fmt.Fprintf(w, "  %s\t%d\t%d\t%d\n", name, u.Objects, u.Bytes, u.Uploads)
	}
	fmt.Fprintf(w, "\nsegments\tclass\tgeneration\tlive bytes\tfile bytes\tframes\tdamaged\n")
	for _, s := range in.Segments {
		frames, damaged := "-", "-"
		if s.Walked {
			frames, damaged = fmt.Sprint(s.Frames), fmt.Sprint(s.Damaged)
		}
		fmt.Fprintf(w, "  %d\t%s\t%d\t%d\t%d\t%s\t%s\n", s.Number, className(s.Row.Class), s.Row.Generation, s.Row.Live, s.File, frames, damaged)
	}
	fmt.Fprintf(w, "\njournal\tsmall shards\tlive bytes\tfile bytes\tuse\n")
	for _, j := range in.Journal {
		use := "home"
		if j.Log {
			use = "log"
		}
		fmt.Fprintf(w, "  %d\t%d\t%d\t%d\t%s\n", j.Number, j.Row.Payloads, j.Row.Live, j.File, use)
	}
	if e := in.JournalEnd; e.Sealed {
		fmt.Fprintf(w, "  closed at file %d, batch %d\n", e.File, e.Batch)
	} else {
		fmt.Fprintf(w, "  in use up to file %d, behind batch %d\n", e.File, e.Batch)
	}
	fmt.Fprintln(w)
}

// printVersions prints what the drive has of one key.
func printVersions(w io.Writer, in *node.Inspected) {
	for _, v := range in.Versions {
		state := "stable"
		if !v.Stable {
			state = "not known stable"
		}
		fmt.Fprintf(w, "\nversion\t%s\n  kind\t%s, %s\n  slot\t%d of %d (%d data)\n", v.Version.Write, kindName(v.Version.Kind), state, v.Version.Slot, v.Version.N, v.Version.K)
		fmt.Fprintf(w, "  stamp\t%s\n  modified\t%s\n", v.Version.TS.Time().UTC().Format(time.RFC3339Nano), time.Unix(0, v.Version.ModTime).UTC().Format(time.RFC3339Nano))
		fmt.Fprintf(w, "  accepted\tepoch %d, shard here %t, null %t\n", v.Own.Epoch, v.Own.Data, v.Own.Null)
		if v.Own.Ballot.TS != 0 {
			fmt.Fprintf(w, "  ballot\t%s of %s\n", v.Own.Ballot.TS.Time().UTC().Format(time.RFC3339Nano), v.Own.Ballot.Write)
		}
		if v.Version.Kind == ondisk.KindObject {
			fmt.Fprintf(w, "  size\t%d\n  etag\t%s\n  parts\t%d\n", v.Version.Size, v.Version.ETag, v.Version.Parts)
		}
		for _, s := range v.Shards {
			printShard(w, s)
		}
	}
	for i := range in.States {
		printState(w, &in.States[i].State)
	}
	for _, u := range in.Uploads {
		fmt.Fprintf(w, "\nopen upload\t%s\n  started\t%s\n  parts\t%d\n", u.Upload.ID, time.Unix(0, u.Upload.Started).UTC().Format(time.RFC3339), len(u.Parts))
	}
	if len(in.Versions)+len(in.Uploads) == 0 {
		fmt.Fprintf(w, "\nkey\tnothing on this drive\n")
	}
	fmt.Fprintln(w)
}

// printState prints what the drive remembers of a key beside its versions.
func printState(w io.Writer, s *ondisk.KeyState) {
	at := func(ts object.Stamp) string { return ts.Time().UTC().Format(time.RFC3339Nano) }
	fmt.Fprintf(w, "\nremembered\n")
	if s.Promise.TS != 0 {
		fmt.Fprintf(w, "  promise\t%s of %s\n", at(s.Promise.TS), s.Promise.Write)
	}
	if s.Decision.Ballot.TS != 0 {
		fmt.Fprintf(w, "  decision\t%s: %s was the newest chosen\n", at(s.Decision.Ballot.TS), s.Decision.Ref.Write)
	}
	for i := range s.Dead {
		fmt.Fprintf(w, "  dead\t%s at %s, proved %t\n", s.Dead[i].Ref.Write, at(s.Dead[i].Rev), s.Dead[i].Proven)
	}
	for i := range s.Hints {
		fmt.Fprintf(w, "  missing\t%s on slots %b\n", s.Hints[i].Ref.Write, s.Hints[i].Slots)
	}
}

func printShard(w io.Writer, s drive.ShardReport) {
	state := "checksums good"
	if s.Damage != "" {
		state = "DAMAGED: " + s.Damage
	}
	if s.Inline {
		fmt.Fprintf(w, "  shard\t%s inline, %d bytes, %s\n", s.OID, s.Size, state)
		if !s.At.IsZero() {
			fmt.Fprintf(w, "    journal\tfile %d at %d, %d bytes\n", s.At.File, s.At.Offset, s.At.Length)
		}
		return
	}
	fmt.Fprintf(w, "  shard\t%s %d bytes, %s\n", s.OID, s.Size, state)
	for _, e := range s.Extents {
		fmt.Fprintf(w, "    extent\tsegment %d at %d, %d bytes, frames %d-%d\n", e.Segment, e.Offset, e.Length, e.First, e.First+e.Frames-1)
	}
}

// rowName says what a kind of row is.
func rowName(k ondisk.RowKind) string {
	switch k {
	case ondisk.RowVersion:
		return "versions"
	case ondisk.RowKeyState:
		return "key states"
	case ondisk.RowInline:
		return "small parts"
	case ondisk.RowJournal:
		return "journal files"
	case ondisk.RowManifest:
		return "extents and parts"
	case ondisk.RowUpload:
		return "uploads and their parts"
	case ondisk.RowPending:
		return "not known stable"
	case ondisk.RowHint:
		return "missing elsewhere"
	case ondisk.RowSet:
		return "erasure sets"
	case ondisk.RowDigest:
		return "digests"
	case ondisk.RowGarbage:
		return "to give back"
	case ondisk.RowSegment:
		return "segments"
	case ondisk.RowUsage:
		return "bucket usage"
	case ondisk.RowFence:
		return "bucket fences"
	case ondisk.RowControl:
		return "control state"
	case ondisk.RowMarks:
		return "clocks"
	}
	return "unknown"
}

func kindName(k ondisk.VersionKind) string {
	switch k {
	case ondisk.KindObject:
		return "object"
	case ondisk.KindDeleteMarker:
		return "delete marker"
	case ondisk.KindTombstone:
		return "tombstone"
	case ondisk.KindPurged:
		return "removal"
	}
	return fmt.Sprintf("unknown kind %d", k)
}

func className(c ondisk.SegmentClass) string {
	switch c {
	case ondisk.SegmentFree:
		return "free"
	case ondisk.SegmentPack:
		return "pack"
	case ondisk.SegmentRun:
		return "run"
	}
	return fmt.Sprintf("unknown class %d", c)
}

func printJSON(out io.Writer, in *node.Inspected) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	in.ControlRows = nil // opaque, and full of ciphertext
	return e.Encode(in)
}
