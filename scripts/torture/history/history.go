// Package history is what the clients of a torture run saw, as JSON: the tool writes it, the judge reads
// it, and so can any other checker. It depends on nothing but the standard library, because the judge
// is a module of its own.
//
// A history is judged key by key. A key is a register: its value is the ETag of the object that stands,
// "" if there is none. Every object written in a run has bytes of its own, so an ETag names one write, or
// copies of it; whether a body was the one its ETag stands for is checked while it is read, by the tool.
package history

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// Kind is what an operation does to the register.
type Kind string

// The kinds of operations.
const (
	Read   Kind = "read"   // saw Value
	Write  Kind = "write"  // makes it Value
	Delete Kind = "delete" // makes it ""
)

// Condition is what an operation depended on.
type Condition string

// The conditions.
const (
	Always  Condition = ""
	IfNone  Condition = "if-none-match" // If-None-Match: *
	IfMatch Condition = "if-match"      // If-Match: Want; a Read with it is that of a copy's source
)

// Outcome is how an operation ended.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"      // it took effect
	Refused Outcome = "refused" // its condition was found false
	Unknown Outcome = "unknown" // no answer, or 5xx: it may take effect at any time, or never
	Failed  Outcome = "failed"  // it had no effect, or read nothing: it says nothing about the register
)

// Op is one operation on one key as its client saw it. A request that touches several keys is one Op
// for each.
type Op struct {
	Client   int       `json:"client"`
	Endpoint int       `json:"endpoint"`
	Key      string    `json:"key"`
	Via      string    `json:"via"` // the S3 operation, for people
	Kind     Kind      `json:"kind"`
	If       Condition `json:"if,omitempty"`
	Want     string    `json:"want,omitempty"` // of IfMatch
	Value    string    `json:"value,omitempty"`
	Outcome  Outcome   `json:"outcome"`
	Status   int       `json:"status,omitempty"`
	Error    string    `json:"error,omitempty"`
	Invoke   int64     `json:"invoke"` // ns since the start of the run, by the tool's monotonic clock
	Return   int64     `json:"return"` // when the answer had been read, or the client gave up
}

// String is one line for people.
func (o *Op) String() string {
	what := string(o.Kind)
	switch o.Kind {
	case Read:
		what = "saw " + name(o.Value)
		if o.Outcome != OK {
			what = "read"
		}
	case Write:
		what = "write " + name(o.Value)
	}
	if o.If == IfNone {
		what += " if none stands"
	}
	if o.If == IfMatch {
		what += " if " + name(o.Want) + " stands"
	}
	s := fmt.Sprintf("%12.6f %12.6f  client %2d at %d  %-14s %s: %s", float64(o.Invoke)/1e9, float64(o.Return)/1e9, o.Client, o.Endpoint, o.Via, what, o.Outcome)
	if o.Status != 0 && o.Outcome != OK {
		s += fmt.Sprintf(" (%d)", o.Status)
	}
	if o.Error != "" {
		s += ", " + o.Error
	}
	return s
}

func name(etag string) string {
	if etag == "" {
		return "nothing"
	}
	return etag[:min(8, len(etag))]
}

// Fault is what was done to the server, and when.
type Fault struct {
	From int64  `json:"from"` // ns, as in Op
	To   int64  `json:"to"`
	What string `json:"what"`
}

// History is one run.
type History struct {
	Seed    uint64  `json:"seed"`
	Command string  `json:"command"` // repeats the run, as far as timing lets it
	Faults  []Fault `json:"faults"`
	Ops     []Op    `json:"ops"`
}

// Keys groups the operations by key, each in order of invocation. The operations stay h's.
func (h *History) Keys() map[string][]*Op {
	out := map[string][]*Op{}
	for i := range h.Ops {
		out[h.Ops[i].Key] = append(out[h.Ops[i].Key], &h.Ops[i])
	}
	for _, ops := range out {
		slices.SortStableFunc(ops, func(a, b *Op) int { return cmp.Compare(a.Invoke, b.Invoke) })
	}
	return out
}

// Encode writes h with one operation per line.
func (h *History) Encode(w io.Writer) error {
	b := bufio.NewWriter(w)
	command, err := json.Marshal(h.Command)
	if err != nil {
		return err
	}
	faults, err := json.Marshal(h.Faults)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "{\"seed\": %d,\n\"command\": %s,\n\"faults\": %s,\n\"ops\": [", h.Seed, command, faults)
	for i := range h.Ops {
		op, err := json.Marshal(&h.Ops[i])
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(op)
	}
	b.WriteString("\n]}\n")
	return b.Flush()
}

// WriteFile writes h to a file.
func (h *History) WriteFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = h.Encode(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// ReadFile reads a history.
func ReadFile(path string) (*History, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Decode(b)
}

// Decode reads what Encode wrote, and refuses words that the judge would not understand.
func Decode(b []byte) (*History, error) {
	var h History
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	for i := range h.Ops {
		if err := h.Ops[i].check(); err != nil {
			return nil, fmt.Errorf("history: operation %d: %w", i, err)
		}
	}
	return &h, nil
}

func (o *Op) check() error {
	if !slices.Contains([]Kind{Read, Write, Delete}, o.Kind) {
		return fmt.Errorf("unknown kind %q", o.Kind)
	}
	if !slices.Contains([]Condition{Always, IfNone, IfMatch}, o.If) {
		return fmt.Errorf("unknown condition %q", o.If)
	}
	if !slices.Contains([]Outcome{OK, Refused, Unknown, Failed}, o.Outcome) {
		return fmt.Errorf("unknown outcome %q", o.Outcome)
	}
	if o.Key == "" || o.Return < o.Invoke || (o.Kind == Write) != (o.Value != "") && o.Kind != Read {
		return fmt.Errorf("key %q, value %q, invoked at %d, returned at %d", o.Key, o.Value, o.Invoke, o.Return)
	}
	return nil
}
