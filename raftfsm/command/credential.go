package command

import "holdfast/raftfsm/fields"

// PutCredential adds an access key or replaces its secret.
type PutCredential struct {
	AccessKey string
	Sealed    []byte // the secret, sealed under the cluster key (package seal)
}

// Tag implements Command.
func (c *PutCredential) Tag() Tag { return TagPutCredential }

// Subject implements Command.
func (c *PutCredential) Subject() string { return c.AccessKey }

func (c *PutCredential) appendBody(b []byte) []byte {
	b = fields.AppendText(b, 1, c.AccessKey)
	return fields.AppendBytes(b, 2, c.Sealed)
}

func (c *PutCredential) field(f fields.Field) error {
	switch f.Num {
	case 1:
		return f.Text(&c.AccessKey)
	case 2:
		return f.Copy(&c.Sealed)
	}
	return f.Unexpected()
}

func (c *PutCredential) check() error {
	if c.AccessKey == "" || len(c.Sealed) == 0 {
		return errMissing("access key or sealed secret")
	}
	return nil
}

// RemoveCredential takes an access key away.
type RemoveCredential struct{ AccessKey string }

// Tag implements Command.
func (c *RemoveCredential) Tag() Tag { return TagRemoveCredential }

// Subject implements Command.
func (c *RemoveCredential) Subject() string { return c.AccessKey }

func (c *RemoveCredential) appendBody(b []byte) []byte { return fields.AppendText(b, 1, c.AccessKey) }

func (c *RemoveCredential) field(f fields.Field) error {
	if f.Num == 1 {
		return f.Text(&c.AccessKey)
	}
	return f.Unexpected()
}

func (c *RemoveCredential) check() error {
	if c.AccessKey == "" {
		return errMissing("access key")
	}
	return nil
}

// Rewrap replaces the wrapping of the cluster key: the root credentials changed.
type Rewrap struct {
	Old, New []byte // the wrapping that is expected to be in force, and the one to replace it
}

// Tag implements Command.
func (c *Rewrap) Tag() Tag { return TagRewrap }

// Subject implements Command.
func (c *Rewrap) Subject() string { return "root credentials" }

func (c *Rewrap) appendBody(b []byte) []byte {
	b = fields.AppendBytes(b, 1, c.Old)
	return fields.AppendBytes(b, 2, c.New)
}

func (c *Rewrap) field(f fields.Field) error {
	switch f.Num {
	case 1:
		return f.Copy(&c.Old)
	case 2:
		return f.Copy(&c.New)
	}
	return f.Unexpected()
}

func (c *Rewrap) check() error {
	if len(c.Old) == 0 || len(c.New) == 0 {
		return errMissing("old or new wrapping")
	}
	return nil
}
