package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/actors/ondisk"
)

// controlMsg is a StoreControl in the mailbox.
type controlMsg struct {
	reply
	meta ondisk.ControlMeta
	put  map[string][]byte
	del  []string
	size int
}

func (*controlMsg) isMsg()        {}
func (m *controlMsg) weight() int { return m.size }

// StoreControl implements ControlStore.
func (a *Actor) StoreControl(ctx context.Context, meta ondisk.ControlMeta, put map[string][]byte, del []string) error {
	m := &controlMsg{reply: newReply(), meta: meta, put: make(map[string][]byte, len(put)), del: slices.Clone(del)}
	for name, payload := range put {
		if name == "" {
			return a.wrap(errors.New("store control: the empty name is meta's"))
		}
		m.put[name] = ondisk.AppendControl(nil, name, payload)
		m.size += len(name) + len(m.put[name])
	}
	if m.size > maxControl {
		return a.wrap(fmt.Errorf("store control: %d bytes of rows are more than one batch takes, %d", m.size, maxControl))
	}
	_, err := a.do(ctx, m)
	return err
}

// maxControl bounds the rows of one StoreControl, which is one batch and thus one record of the journal.
const maxControl = ondisk.MaxJournalRecord / 2

// apply implements message.
func (m *controlMsg) apply(b *batch) error {
	for name, value := range m.put {
		b.set(ondisk.AppendControlKey(b.buf[:0], name), value)
	}
	for _, name := range m.del {
		b.delete(ondisk.AppendControlKey(b.buf[:0], name))
	}
	b.set(ondisk.AppendControlKey(b.buf[:0], ""), ondisk.AppendControlMeta(b.val[:0], &m.meta))
	return nil
}

// LoadControl implements ControlStore.
func (a *Actor) LoadControl(ctx context.Context) (ondisk.ControlMeta, map[string][]byte, error) {
	if err := a.begin(ctx, a.readers); err != nil {
		return ondisk.ControlMeta{}, nil, err
	}
	defer a.end(a.readers)
	meta, rows, err := readControl(a.db)
	if err != nil {
		return meta, nil, a.wrap(fmt.Errorf("load control: %w", damaged(err)))
	}
	return meta, rows, nil
}

// readControl reads the Q rows of an index.
func readControl(db pebble.Reader) (meta ondisk.ControlMeta, rows map[string][]byte, err error) {
	rows = make(map[string][]byte)
	found := false
	err = eachRow(db, ondisk.RowControl, func(key, value []byte) error {
		name, err := ondisk.ParseControlKey(key)
		if err != nil {
			return err
		}
		if name == "" {
			found = true
			meta, err = ondisk.DecodeControlMeta(value)
			return err
		}
		payload, err := ondisk.DecodeControl(name, value)
		rows[name] = slices.Clone(payload)
		return err
	})
	if err == nil && !found {
		err = ErrNoControl
	}
	return meta, rows, err
}
