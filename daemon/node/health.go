package node

import (
	"fmt"

	"holdfast/actors/drive"
	"holdfast/raftfsm"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api"
)

// probe answers the health routes from what fleet and topology say at the moment.
type probe struct {
	fleet *fleet
	raft  *raftfsm.Node
}

// Ready reports whether any object can be read here.
func (p *probe) Ready() error {
	q := p.Quorum()
	if q.WithoutRead == q.Sets {
		return fmt.Errorf("no erasure set has a read quorum: %d of %d drives are online", q.DrivesOnline, q.Drives)
	}
	return nil
}

// Quorum counts the sets that lack a quorum.
func (p *probe) Quorum() s3api.Quorum {
	t := p.raft.Topology()
	q := s3api.Quorum{Sets: len(t.Sets), Drives: len(t.Drives)}
	reads, writes := map[cluster.DriveID]bool{}, map[cluster.DriveID]bool{}
	for _, d := range t.Drives {
		h := p.fleet.Drive(d.ID).Health()
		if h.State == drive.Online {
			reads[d.ID] = true
			writes[d.ID] = !h.Full
			q.DrivesOnline++
		} else { // by identity: the page is for anybody, and paths and causes are in the log beside it
			q.Absent = append(q.Absent, "drive "+d.ID.String())
		}
	}
	for _, s := range t.Sets {
		r, w := 0, 0
		for _, id := range s.Members {
			if reads[id] {
				r++
			}
			if writes[id] {
				w++
			}
		}
		if r < s.K() {
			q.WithoutRead++
		}
		if w < s.W() {
			q.WithoutWrite++
		}
	}
	return q
}
