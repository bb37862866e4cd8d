package node

import (
	"errors"
	"fmt"
	"strings"

	"holdfast/actors/drive"
)

// greet prints what a person or a script needs to know once the node serves.
func (n *Node) greet(face Face) error {
	t := n.raft.Topology()
	size := len(t.Sets[0].Members)
	g := greeting{
		Version: face.Version, Endpoints: endpoints(n.addr, n.cfg),
		Drives: len(t.Drives), Absent: n.fleet.missing(), Sets: len(t.Sets),
		SetSize: size, Data: t.Sets[0].K(), Parity: size - t.Sets[0].K(),
		RootUser: n.root.inForce().User,
	}
	if n.root.generated.IsSet() {
		g.newPassword, g.keptIn = n.root.generated.Password, credentialsFile
	}
	shared := false
	var free int64
	systems := map[uint64]bool{}
	for _, a := range n.fleet.actors() {
		h := a.Health()
		if h.State != drive.Online {
			continue
		}
		g.Online++
		// Drives that share a file system share its space: it is counted once.
		if h.FSID != 0 && systems[h.FSID] {
			shared = true
			continue
		}
		systems[h.FSID] = true
		g.Raw += h.Capacity
		free += h.Free
	}
	g.Usable, g.Free = g.Raw*int64(g.Data)/int64(size), free*int64(g.Data)/int64(size)
	g.Warnings = n.warnings(shared)
	for _, w := range g.Warnings {
		n.log.Warn(w)
	}
	return g.write(face.Out, n.cfg.JSON)
}

// warnings lists what is unsafe about this start.
func (n *Node) warnings(shared bool) []string {
	var out []string
	if shared {
		out = append(out, "several drives lie on one file system: one broken disk takes them all; their capacity is counted once")
	}
	if n.root.generated.IsSet() || !n.root.chosen.IsSet() {
		out = append(out, fmt.Sprintf("the root credentials were generated and lie readable to the owner in %s on each drive: choose your own with HOLDFAST_ROOT_USER and HOLDFAST_ROOT_PASSWORD", credentialsFile))
	}
	if n.certs == nil {
		out = append(out, "objects travel unencrypted: give --tls-cert and --tls-key, or put a TLS proxy in front")
	}
	if len(n.raft.Topology().Drives) == 1 {
		out = append(out, "one drive alone has no redundancy: the loss of the drive loses every object")
	}
	if missing := n.fleet.missing(); len(missing) > 0 {
		out = append(out, "drives are absent: "+strings.Join(missing, "; "))
	}
	return out
}

// describeAbsent joins the reasons why drives are absent.
func describeAbsent(absent []absentDrive) error {
	var errs []error
	for _, a := range absent {
		errs = append(errs, fmt.Errorf("%s: %w", a.path, a.why))
	}
	return errors.Join(errs...)
}
