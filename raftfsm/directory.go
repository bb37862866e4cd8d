package raftfsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"holdfast/raftfsm/cluster"
	"holdfast/raftfsm/command"
	"holdfast/raftfsm/raftlog"
	"holdfast/raftfsm/state"
)

// The raft directory:
//
//	node        identity: which node of which cluster, under which raft server id
//	raft.db     log and votes (package raftlog)
//	snapshots/  raft's snapshots
//
// It can be lost: the copies on the drives hold everything that was ever answered. So whatever is
// in doubt here is set aside, and a new server is founded from the newest copy.

var (
	// errDoubt marks a raft directory that cannot be relied on.
	errDoubt = errors.New("raft directory is damaged")
	// errStale marks one that is whole but was left behind.
	errStale = errors.New("raft directory is out of date")
	// errForeign marks one that is whole but has another history.
	errForeign = errors.New("raft directory belongs to another history")
)

const (
	identityFile  = "node"
	identityMagic = "HFNODEID"
	identitySize  = 8 + 4 + 48 + 4
	logFile       = "raft.db"
	// raft's own key for its current term.
	termKey = "CurrentTerm"
	// asideKept is how many directories that were set aside are kept for whoever wants to look.
	asideKept = 2
)

// identity is the file "node": magic 8 | version 4 | cluster 16 | node 16 | server 16 | CRC32C 4.
type identity struct {
	cluster cluster.ID
	node    cluster.NodeID
	server  [16]byte
}

func (i identity) serverID() raft.ServerID { return raft.ServerID(hex.EncodeToString(i.server[:])) }

func (i identity) encode() []byte {
	b := binary.LittleEndian.AppendUint32([]byte(identityMagic), 1)
	b = append(append(append(b, i.cluster[:]...), i.node[:]...), i.server[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeIdentity(b []byte) (i identity, err error) {
	if len(b) != identitySize || string(b[:8]) != identityMagic {
		return i, fmt.Errorf("%w: file %s", errDoubt, identityFile)
	}
	copy(i.cluster[:], b[12:])
	copy(i.node[:], b[28:])
	copy(i.server[:], b[44:])
	if !bytes.Equal(i.encode(), b) {
		return i, fmt.Errorf("%w: file %s", errDoubt, identityFile)
	}
	return i, nil
}

// directory is an open raft directory whose contents were read and verified as a whole.
type directory struct {
	path  string
	id    identity
	log   *raftlog.Log
	snaps *snapshots
	state *state.State // after the last entry of the log
}

func (d *directory) close() error { return d.log.Close() }

// openDirectory reads everything in a raft directory and replays it, so that raft, which ends the
// process on some errors, meets only what is known to be good. seen is called for each state on the way.
func openDirectory(path string, id cluster.ID, log hclog.Logger, seen func(*state.State)) (*directory, error) {
	raw, err := os.ReadFile(filepath.Join(path, identityFile))
	if err != nil {
		return nil, err
	}
	d := &directory{path: path}
	if d.id, err = decodeIdentity(raw); err != nil {
		return nil, err
	}
	if d.id.cluster != id {
		return nil, fmt.Errorf("%w: that of cluster %s", errForeign, d.id.cluster)
	}
	if d.snaps, err = openSnapshots(path, log); err != nil {
		return nil, err
	}
	if d.log, err = raftlog.Open(filepath.Join(path, logFile)); err != nil {
		return nil, err
	}
	if err := d.replay(seen); err != nil {
		d.log.Close()
		return nil, err
	}
	return d, nil
}

// replay does what raft will do: the newest snapshot, then every entry behind it.
func (d *directory) replay(seen func(*state.State)) error {
	list, err := d.snaps.verified()
	if err != nil {
		return err
	}
	f := &fsm{current: state.New(), offer: seen}
	var conf raft.Configuration
	var from, term uint64
	for i, meta := range slices.Backward(list) { // oldest first, so that the newest stays
		_, r, err := d.snaps.Open(meta.ID)
		if err != nil {
			return fmt.Errorf("%w: %w", errDoubt, err)
		}
		err = f.Restore(r)
		r.Close()
		if err != nil {
			return fmt.Errorf("%w: %w", errDoubt, err)
		}
		if i == 0 {
			conf, from, term = meta.Configuration, meta.Index, meta.Term
		}
	}
	if f.current.Index() > from || f.current.Term() > term {
		return fmt.Errorf("%w: snapshot of entry %d holds the state of entry %d", errDoubt, from, f.current.Index())
	}
	first, _ := d.log.FirstIndex() // neither can fail: all is in memory
	last, _ := d.log.LastIndex()
	if last != 0 && first > from+1 {
		return fmt.Errorf("%w: entries %d to %d are missing", errDoubt, from+1, first-1)
	}
	for i := from + 1; i <= last; i++ {
		var l raft.Log
		if err := d.log.GetLog(i, &l); err != nil {
			return fmt.Errorf("%w: entry %d: %w", errDoubt, i, err)
		}
		if l.Term < term {
			return fmt.Errorf("%w: entry %d has term %d after %d", errDoubt, i, l.Term, term)
		}
		term = l.Term
		if l.Type == raft.LogConfiguration {
			conf = raft.DecodeConfiguration(l.Data)
		}
		if _, err := f.step(&l); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		seen(f.current)
	}
	if now, err := d.log.GetUint64([]byte(termKey)); err != nil || now < term {
		return fmt.Errorf("%w: current term %d is below that of the last entry, %d", errDoubt, now, term)
	}
	if len(conf.Servers) != 1 || conf.Servers[0].ID != d.id.serverID() || conf.Servers[0].Suffrage != raft.Voter {
		return fmt.Errorf("%w: it does not list this server as the one voter", errDoubt)
	}
	d.state = f.current
	return nil
}

// doubtful reports whether an error means that the directory can be rebuilt from a copy. One that
// a newer program wrote must not be: it may hold what the copies here do not. Nor must one that another
// process has open.
func doubtful(err error) bool {
	return !errors.Is(err, command.ErrVersion) && !errors.Is(err, command.ErrUnknownTag) &&
		!errors.Is(err, raftlog.ErrVersion) && !errors.Is(err, raftlog.ErrInUse) && !errors.Is(err, state.ErrNewer)
}

// found makes a raft directory for a new server: one voter, at the state from (nil: before birth).
// It is built under another name and renamed, so it is there wholly or not at all.
func foundDirectory(path string, id identity, from *state.State, log hclog.Logger) error {
	tmp := path + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o700); err != nil { // never the parent: a drive that is not mounted
		return err
	}
	conf := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: id.serverID(), Address: address(id.serverID()),
	}}}
	term := uint64(1)
	snaps, err := openSnapshots(tmp, log)
	if err != nil {
		return err
	}
	if from != nil {
		if err := writeSnapshot(snaps, conf, from); err != nil {
			return err
		}
		// Two histories that part here (this one and that of the directory set aside, should it come
		// back) must never share a term, so that comparing terms tells them apart.
		term = from.Term() + 1 + uint64(rand.Uint32())
	}
	l, err := raftlog.Create(filepath.Join(tmp, logFile), map[string]uint64{termKey: term})
	if err != nil {
		return err
	}
	if from == nil {
		err = l.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(conf)})
	}
	if err = errors.Join(err, l.Close()); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(tmp, identityFile), id.encode()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSnapshot(snaps *snapshots, conf raft.Configuration, from *state.State) error {
	addr := conf.Servers[0].Address
	_, trans := raft.NewInmemTransport(addr)
	defer trans.Close()
	sink, err := snaps.Create(1, from.Index(), from.Term(), conf, from.Index(), trans)
	if err != nil {
		return err
	}
	return snapshot{from}.Persist(sink)
}

// setAside renames a directory that is not to be used and removes the oldest of those renamed before.
func setAside(path string) (string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	entries, err := os.ReadDir(filepath.Dir(path)) // no pattern: a drive's path may hold a bracket
	if err != nil {
		return "", err
	}
	var old []int
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".aside-"); ok {
			if v, err := strconv.Atoi(n); err == nil {
				old = append(old, v)
			}
		}
	}
	slices.Sort(old)
	next := 1
	if len(old) > 0 {
		next = old[len(old)-1] + 1
	}
	for i := 0; i < len(old)-asideKept+1; i++ {
		if err := os.RemoveAll(path + ".aside-" + strconv.Itoa(old[i])); err != nil {
			return "", err
		}
	}
	to := path + ".aside-" + strconv.Itoa(next)
	if err := os.Rename(path, to); err != nil {
		return "", err
	}
	return to, syncDir(filepath.Dir(path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// address is where the one voter "is": its transport never leaves the process.
func address(id raft.ServerID) raft.ServerAddress { return raft.ServerAddress(id) }
