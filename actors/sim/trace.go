package sim

import (
	"fmt"
	"strings"

	"holdfast/actors/object"
	"holdfast/actors/quorum"
)

// Trace makes the world tell what happens, in one line each.
func (w *World) Trace(print func(format string, args ...any)) { w.trace = print }

// note traces a replay.
func (w *World) note(format string, args ...any) {
	if w.trace != nil {
		w.trace("%10.3f #%d "+format, append([]any{float64(w.now) / float64(ms), w.step}, args...)...)
	}
}

func requestName(k quorum.RequestKind) string {
	names := [...]string{"-", "report", "prepare", "stage", "commit", "mark", "kill", "drop", "collect", "forget", "token",
		"heal", "hinted", "fetch", "unpin", "upload", "decide", "adopt", "fence", "floor"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprint(uint8(k))
}

// refText shows a stamp as milliseconds of the simulated world, and the write's number.
func refText(r object.VersionRef) string {
	if r == (object.VersionRef{}) {
		return "0"
	}
	return fmt.Sprintf("%s/w%d", stampText(r.TS), uint32(r.Write[0])<<24|uint32(r.Write[1])<<16|uint32(r.Write[2])<<8|uint32(r.Write[3]))
}

func stampText(t object.Stamp) string {
	return fmt.Sprintf("%.3f+%d", float64(int64(t>>10)-epoch)/float64(ms), t&1023)
}

func describe(r *quorum.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "e%d", r.Epoch)
	if r.Ballot != (quorum.Ballot{}) {
		fmt.Fprintf(&b, " ballot %s", refText(r.Ballot))
	}
	if r.Version.Ref != (object.VersionRef{}) {
		fmt.Fprintf(&b, " %s", versionText(&r.Version))
	}
	if r.Attempt.Ref != (object.VersionRef{}) {
		fmt.Fprintf(&b, " attempt %s rev %s e%d", refText(r.Attempt.Ref), stampText(r.Attempt.Rev), r.Attempt.Epoch)
	}
	for i := range r.Versions {
		fmt.Fprintf(&b, " {%s}", versionText(&r.Versions[i]))
	}
	if r.Decision != (quorum.Decision{}) {
		fmt.Fprintf(&b, " found %s rev %s", refText(r.Decision.Ref), stampText(r.Decision.Rev))
	}
	if r.Upload != (object.WriteID{}) {
		fmt.Fprintf(&b, " upload %d", writeNumber(r.Upload))
	}
	for i := range r.Dead {
		fmt.Fprintf(&b, " dead %s", refText(r.Dead[i].Ref))
	}
	if r.Missed != 0 {
		fmt.Fprintf(&b, " missed %b", r.Missed)
	}
	return b.String()
}

func versionText(v *quorum.Version) string {
	s := fmt.Sprintf("%s kind %d body %d meta %d", refText(v.Ref), v.Kind, v.Body, v.Meta)
	if v.Rev != v.Ref.TS {
		s += " rev " + stampText(v.Rev)
	}
	if v.Stable {
		s += " stable"
	} else if v.Ballot != v.Ref {
		s += " by " + refText(v.Ballot)
	}
	if v.Upload != (object.WriteID{}) {
		s += fmt.Sprintf(" of upload %d", writeNumber(v.Upload))
	}
	for _, seat := range v.Seats {
		s += fmt.Sprintf(" in e%d", seat.Epoch)
		if seat.Ballot != v.Ref {
			s += "/" + refText(seat.Ballot)
		}
	}
	return s
}

func replyText(r *quorum.Reply) string {
	var b strings.Builder
	if r.Refused != 0 {
		fmt.Fprintf(&b, "refused %d ", r.Refused)
	}
	fmt.Fprintf(&b, "ok %v judge %v", r.OK, r.Judge)
	if r.Highest != 0 {
		fmt.Fprintf(&b, " highest %s", stampText(r.Highest))
	}
	if r.Kill != 0 {
		fmt.Fprintf(&b, " kill %d", r.Kill)
	}
	for i := range r.Versions {
		fmt.Fprintf(&b, " {%s}", versionText(&r.Versions[i]))
	}
	for i := range r.Dead {
		fmt.Fprintf(&b, " dead %s", refText(r.Dead[i].Ref))
	}
	for i := range r.Uploads {
		fmt.Fprintf(&b, " upload %d", writeNumber(r.Uploads[i]))
	}
	if r.Promise != (quorum.Ballot{}) {
		fmt.Fprintf(&b, " promised %s", refText(r.Promise))
	}
	if d := &r.Decision; d.Ballot != (quorum.Ballot{}) {
		fmt.Fprintf(&b, " decision %s found %s rev %s", refText(d.Ballot), refText(d.Ref), stampText(d.Rev))
	}
	for i := range r.Hints {
		fmt.Fprintf(&b, " hint %s %b", refText(r.Hints[i].Ref), r.Hints[i].Missed)
	}
	return b.String()
}
