// Package command defines what is written into the raft log: one envelope around one command.
//
// A log entry is
//
//	+---------+----------------------------------------------------------------+
//	| 1 byte  | tagged fields (package fields)                                 |
//	| version | 1 tag  2 flags  3 request  4 time  5 who  6 why  7 body        |
//	+---------+----------------------------------------------------------------+
//
// where body holds the tagged fields of one command. Tags and field numbers are append-only: they
// are on disk. Decoding is strict, because a replica that skipped a part it does not know would
// diverge from the others: an unknown field or tag is an error, on which the state machine ends
// the process, unless the proposer flagged the entry as ignorable. New tags and fields are
// therefore proposed only once the cluster's feature level covers them.
//
// Whatever is random or depends on a clock is chosen by the proposer and carried in the entry.
// Secrets are sealed before they come here. Decoded commands own their memory.
package command

import (
	"fmt"
	"time"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/fields"
)

// Version is the version of the envelope that this program writes.
const Version = 1

// Tag says which command an entry holds. Append only: the numbers are on disk.
type Tag uint32

// The tags of all commands.
const (
	TagBirth            Tag = 1
	TagCreateBucket     Tag = 2
	TagSealBucket       Tag = 3
	TagUnsealBucket     Tag = 4
	TagRemoveBucket     Tag = 5
	TagPutCredential    Tag = 6
	TagRemoveCredential Tag = 7
	TagRewrap           Tag = 8
	TagUpdateDrive      Tag = 9
	TagSetFeatureLevel  Tag = 10
	TagSetVersioning    Tag = 11
)

// Flags of an entry.
type Flags uint64

// Ignorable marks an entry that a program which does not know its tag may skip: it changes nothing
// that the others must agree on.
const Ignorable Flags = 1

// Entry is one log entry.
type Entry struct {
	Flags   Flags
	Request [16]byte  // chosen at random for each change; a repeated one is applied once
	Time    time.Time // the proposer's clock
	Who     string    // access key, or the part of the program that acts by itself
	Why     string
	Command Command // nil for an ignorable entry of an unknown tag
}

// Command is one change of the replicated state.
type Command interface {
	Tag() Tag
	// Subject names what the command is about, for the change log.
	Subject() string
	appendBody(b []byte) []byte
}

// body is a command under decoding.
type body interface {
	Command
	field(f fields.Field) error
	// check refuses a body that lacks what every such command has.
	check() error
}

// Encode returns the bytes of a log entry.
func Encode(e Entry) []byte {
	b := []byte{Version}
	b = fields.AppendUint(b, 1, uint64(e.Command.Tag()))
	b = fields.AppendUint(b, 2, uint64(e.Flags))
	b = fields.AppendID(b, 3, e.Request)
	b = fields.AppendUint(b, 4, uint64(e.Time.UnixNano()))
	b = fields.AppendText(b, 5, e.Who)
	b = fields.AppendText(b, 6, e.Why)
	return fields.AppendBytes(b, 7, e.Command.appendBody(nil))
}

// Decode reads a log entry. An entry of an unknown tag is ErrUnknownTag, or, if it is flagged as
// ignorable, an Entry without a Command.
func Decode(b []byte) (Entry, error) {
	var e Entry
	if len(b) == 0 {
		return e, fmt.Errorf("command: %w: empty entry", ErrMalformed)
	}
	if b[0] != Version {
		return e, fmt.Errorf("command: %w: entry has version %d, known is %d", ErrVersion, b[0], Version)
	}
	var tag, flags, nanos uint64
	var raw []byte
	err := fields.Walk(b[1:], func(f fields.Field) error {
		switch f.Num {
		case 1:
			return f.Uint(&tag)
		case 2:
			return f.Uint(&flags)
		case 3:
			return f.ID(&e.Request)
		case 4:
			return f.Uint(&nanos)
		case 5:
			return f.Text(&e.Who)
		case 6:
			return f.Text(&e.Why)
		case 7:
			return f.Bytes(&raw)
		}
		return f.Unexpected()
	})
	if err != nil {
		return e, fmt.Errorf("command: %w: %w", ErrMalformed, err)
	}
	e.Flags, e.Time = Flags(flags), time.Unix(0, int64(nanos)).UTC()
	c := newBody(Tag(tag))
	if tag > 1<<32-1 || c == nil {
		if e.Flags&Ignorable != 0 {
			return e, nil
		}
		return e, fmt.Errorf("command: %w: %d", ErrUnknownTag, tag)
	}
	if err = fields.Walk(raw, c.field); err == nil {
		err = c.check()
	}
	if err != nil {
		return e, fmt.Errorf("command: %w: %s: %w", ErrMalformed, Tag(tag), err)
	}
	e.Command = c
	return e, nil
}

func newBody(t Tag) body {
	switch t {
	case TagBirth:
		return new(Birth)
	case TagCreateBucket:
		return new(CreateBucket)
	case TagSealBucket:
		return new(SealBucket)
	case TagUnsealBucket:
		return new(UnsealBucket)
	case TagRemoveBucket:
		return new(RemoveBucket)
	case TagPutCredential:
		return new(PutCredential)
	case TagRemoveCredential:
		return new(RemoveCredential)
	case TagRewrap:
		return new(Rewrap)
	case TagUpdateDrive:
		return new(UpdateDrive)
	case TagSetFeatureLevel:
		return new(SetFeatureLevel)
	case TagSetVersioning:
		return new(SetVersioning)
	}
	return nil
}

// String is the command's name in the change log.
func (t Tag) String() string {
	switch t {
	case TagBirth:
		return "Birth"
	case TagCreateBucket:
		return "CreateBucket"
	case TagSealBucket:
		return "SealBucket"
	case TagUnsealBucket:
		return "UnsealBucket"
	case TagRemoveBucket:
		return "RemoveBucket"
	case TagPutCredential:
		return "PutCredential"
	case TagRemoveCredential:
		return "RemoveCredential"
	case TagRewrap:
		return "Rewrap"
	case TagUpdateDrive:
		return "UpdateDrive"
	case TagSetFeatureLevel:
		return "SetFeatureLevel"
	case TagSetVersioning:
		return "SetVersioning"
	}
	return fmt.Sprintf("tag %d", uint32(t))
}

// Birth creates the cluster. It is the first command and comes once.
type Birth struct {
	Cluster  cluster.ID
	Nodes    []cluster.Node
	Topology cluster.Topology
	Wrapped  []byte // the cluster key, wrapped by the root-derived key (package seal)
	Settings cluster.Settings
	Feature  uint64
}

// Tag implements Command.
func (c *Birth) Tag() Tag { return TagBirth }

// Subject implements Command.
func (c *Birth) Subject() string { return c.Cluster.String() }

func (c *Birth) appendBody(b []byte) []byte {
	b = fields.AppendID(b, 1, c.Cluster)
	b = fields.AppendID(b, 2, c.Topology.Seed)
	for _, n := range c.Nodes {
		b = fields.AppendMessage(b, 3, AppendNode(nil, n))
	}
	for _, d := range c.Topology.Drives {
		b = fields.AppendMessage(b, 4, AppendDrive(nil, d))
	}
	b = fields.AppendBytes(b, 5, AppendSets(nil, c.Topology.Sets))
	b = fields.AppendBytes(b, 6, c.Wrapped)
	b = fields.AppendUint(b, 7, uint64(c.Settings.MaxBuckets))
	return fields.AppendUint(b, 8, c.Feature)
}

func (c *Birth) field(f fields.Field) error {
	var raw []byte
	switch f.Num {
	case 1:
		return f.ID((*[16]byte)(&c.Cluster))
	case 2:
		return f.ID(&c.Topology.Seed)
	case 3:
		if err := f.Bytes(&raw); err != nil {
			return err
		}
		n, err := DecodeNode(raw)
		c.Nodes = append(c.Nodes, n)
		return err
	case 4:
		if err := f.Bytes(&raw); err != nil {
			return err
		}
		d, err := DecodeDrive(raw)
		c.Topology.Drives = append(c.Topology.Drives, d)
		return err
	case 5:
		err := f.Bytes(&raw)
		if err == nil {
			c.Topology.Sets, err = DecodeSets(raw)
		}
		return err
	case 6:
		return f.Copy(&c.Wrapped)
	case 7:
		return f.Uint32(&c.Settings.MaxBuckets)
	case 8:
		return f.Uint(&c.Feature)
	}
	return f.Unexpected()
}

func (c *Birth) check() error {
	if c.Cluster == (cluster.ID{}) {
		return errMissing("cluster id")
	}
	return nil
}

// SetFeatureLevel lets the cluster use rows and messages that older programs do not know.
type SetFeatureLevel struct{ Level uint64 }

// Tag implements Command.
func (c *SetFeatureLevel) Tag() Tag { return TagSetFeatureLevel }

// Subject implements Command.
func (c *SetFeatureLevel) Subject() string { return fmt.Sprint(c.Level) }

func (c *SetFeatureLevel) appendBody(b []byte) []byte { return fields.AppendUint(b, 1, c.Level) }

func (c *SetFeatureLevel) field(f fields.Field) error {
	if f.Num == 1 {
		return f.Uint(&c.Level)
	}
	return f.Unexpected()
}

func (c *SetFeatureLevel) check() error { return nil }

// UpdateDrive records on which node and where a drive was found.
type UpdateDrive struct{ Drive cluster.Drive }

// Tag implements Command.
func (c *UpdateDrive) Tag() Tag { return TagUpdateDrive }

// Subject implements Command.
func (c *UpdateDrive) Subject() string { return c.Drive.ID.String() }

func (c *UpdateDrive) appendBody(b []byte) []byte { return AppendDrive(b, c.Drive) }

func (c *UpdateDrive) field(f fields.Field) error { return driveField(&c.Drive, f) }

func (c *UpdateDrive) check() error { return checkDrive(c.Drive) }
