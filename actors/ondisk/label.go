package ondisk

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/raftfsm/cluster"
)

// LabelFile is the name of the label in a drive's directory.
const LabelFile = "FORMAT"

// labelFormat is the version of the whole drive layout. It is raised when a release can no longer
// be told by features what it must not touch. 2: small shards and the log lie in the journal.
const labelFormat = 2

// labelHead begins every label of every version, labelCRC its last line; so a damaged label is told
// from a file that is none.
const (
	labelHead = "{\n  \"magic\": \"holdfast drive\",\n"
	labelCRC  = "crc32c "
	labelTail = len(labelCRC) + 8 + 1 // 8 hex digits and a newline
)

// Label is the content of a drive's FORMAT file: who the drive is and how it was laid out.
type Label struct {
	Cluster cluster.ID
	Drive   cluster.DriveID
	// Provisional is set until the birth of the store is committed. While every label found is
	// provisional there is no store yet, and a birth that died may be begun again.
	Provisional bool
	Created     time.Time
	Capacity    int64  // bytes of the file system when the drive was formatted
	SegmentSize int64  // bytes of a segment file
	Inline      int    // largest shard kept in the journal, bytes
	MountPoint  bool   // the place was a mount point: an unmounted one is then never written
	SetSize     int    // slots of the sets at birth, a hint for people: the topology is the truth
	Pebble      uint64 // Pebble format major version
	// Features that the drive uses, in order of name. A release that does not know one of Compat may
	// use the drive, one of ROCompat may read it, one of Incompat must not open it.
	Compat   []string
	ROCompat []string
	Incompat []string

	Unknown map[string]json.RawMessage // members of newer releases, kept when the label is written again
}

// labelJSON is the body of the file. Members are in the order in which a person wants them.
type labelJSON struct {
	Magic       string   `json:"magic"`
	Version     int      `json:"version"`
	Cluster     string   `json:"cluster"`
	Drive       string   `json:"drive"`
	Provisional bool     `json:"provisional,omitempty"`
	Created     string   `json:"created"`
	Capacity    int64    `json:"capacity_bytes"`
	SegmentSize int64    `json:"segment_bytes"`
	Inline      int      `json:"inline_bytes"`
	MountPoint  bool     `json:"mount_point"`
	SetSize     int      `json:"set_size"`
	Pebble      uint64   `json:"pebble_format"`
	Compat      []string `json:"compat"`
	ROCompat    []string `json:"ro_compat"`
	Incompat    []string `json:"incompat"`
}

// knownFeature says whether this release knows a feature of any class. There is none yet.
func knownFeature(string) bool { return false }

// EncodeLabel returns the bytes of a FORMAT file: indented JSON and a line with its CRC32C.
func EncodeLabel(l *Label) ([]byte, error) {
	body, err := json.MarshalIndent(labelJSON{
		Magic: "holdfast drive", Version: labelFormat,
		Cluster: l.Cluster.String(), Drive: l.Drive.String(), Provisional: l.Provisional,
		Created:  l.Created.UTC().Format(time.RFC3339Nano),
		Capacity: l.Capacity, SegmentSize: l.SegmentSize, Inline: l.Inline,
		MountPoint: l.MountPoint, SetSize: l.SetSize, Pebble: l.Pebble,
		Compat: names(l.Compat), ROCompat: names(l.ROCompat), Incompat: names(l.Incompat),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode drive label: %w", err)
	}
	if len(l.Unknown) > 0 {
		more, err := json.MarshalIndent(l.Unknown, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode drive label: %w", err)
		}
		body = append(append(bytes.TrimSuffix(body, []byte("\n}")), ','), more[1:]...)
	}
	body = append(body, '\n')
	return fmt.Appendf(body, "%s%08x\n", labelCRC, crc32c(body)), nil
}

// names returns a sorted copy that is never null in JSON.
func names(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return out
}

// DecodeLabel reads a FORMAT file. Errors: ErrNotLabel (another program's file), ErrCorrupt (a label
// that was damaged), ErrOlder (a layout that no release was given out with), ErrNewer (a newer layout,
// or a feature that this release must know and does not).
func DecodeLabel(b []byte) (Label, error) {
	body, err := labelBody(b)
	if err != nil {
		return Label{}, err
	}
	// The version is read alone first: a newer layout may have changed any other member.
	var head struct{ Version int }
	if err := json.Unmarshal(body, &head); err != nil {
		return Label{}, fmt.Errorf("%w: drive label: %w", ErrCorrupt, err)
	}
	if head.Version > labelFormat {
		return Label{}, fmt.Errorf("%w: drive label has version %d, this release reads %d", ErrNewer, head.Version, labelFormat)
	}
	if head.Version > 0 && head.Version < labelFormat {
		return Label{}, fmt.Errorf("%w: drive label has version %d, this release reads %d", ErrOlder, head.Version, labelFormat)
	}
	var j labelJSON
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &j); err != nil {
		return Label{}, fmt.Errorf("%w: drive label: %w", ErrCorrupt, err)
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return Label{}, fmt.Errorf("%w: drive label: %w", ErrCorrupt, err)
	}
	return j.label(all)
}

// labelBody checks what encloses the body: its head and the line with the checksum.
func labelBody(b []byte) ([]byte, error) {
	n := len(b) - labelTail
	headed := strings.HasPrefix(string(b), labelHead) || strings.HasPrefix(labelHead, string(b))
	tailed := n >= 0 && bytes.HasPrefix(b[n:], []byte(labelCRC)) && b[len(b)-1] == '\n'
	if !headed && !tailed {
		return nil, fmt.Errorf("%w: it begins with %.16q", ErrNotLabel, b)
	}
	if !tailed {
		return nil, fmt.Errorf("%w: drive label of %d bytes is cut off or damaged", ErrCorrupt, len(b))
	}
	body, digits := b[:n], string(b[n+len(labelCRC):len(b)-1])
	if want := fmt.Sprintf("%08x", crc32c(body)); digits != want {
		return nil, fmt.Errorf("%w: drive label says checksum %q, its bytes have %s", ErrCorrupt, digits, want)
	}
	if !headed {
		return nil, fmt.Errorf("%w: it begins with %.16q", ErrNotLabel, b)
	}
	return body, nil
}

// label turns the members into a Label; all holds every member by name.
func (j *labelJSON) label(all map[string]json.RawMessage) (Label, error) {
	for _, f := range j.Incompat {
		if !knownFeature(f) {
			return Label{}, fmt.Errorf("%w: the drive uses the feature %q", ErrNewer, f)
		}
	}
	l := Label{
		Provisional: j.Provisional, Capacity: j.Capacity, SegmentSize: j.SegmentSize, Inline: j.Inline,
		MountPoint: j.MountPoint, SetSize: j.SetSize, Pebble: j.Pebble,
		Compat: j.Compat, ROCompat: j.ROCompat, Incompat: j.Incompat,
	}
	created, err := time.Parse(time.RFC3339Nano, j.Created)
	okCluster := parseHex(l.Cluster[:], j.Cluster)
	okDrive := parseHex(l.Drive[:], j.Drive)
	switch {
	case err != nil, !okCluster, !okDrive, l.Drive.IsZero(), j.Version < 1, j.Capacity < 0, j.SegmentSize < 0, j.Inline < 0, j.SetSize < 0:
		return Label{}, fmt.Errorf("%w: drive label: a member has an impossible value", ErrCorrupt)
	}
	l.Created = created.UTC()
	for _, known := range []string{"magic", "version", "cluster", "drive", "provisional", "created", "capacity_bytes", "segment_bytes",
		"inline_bytes", "mount_point", "set_size", "pebble_format", "compat", "ro_compat", "incompat"} {
		delete(all, known)
	}
	if len(all) > 0 {
		l.Unknown = all
	}
	return l, nil
}

func parseHex(dst []byte, s string) bool {
	if len(s) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// ReadOnly returns the features that forbid this release to write to the drive, as text; "" if none.
func (l *Label) ReadOnly() string {
	var unknown []string
	for _, f := range l.ROCompat {
		if !knownFeature(f) {
			unknown = append(unknown, strconv.Quote(f))
		}
	}
	return strings.Join(unknown, ", ")
}
