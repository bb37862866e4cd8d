package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/actors/quorum"
)

// Schedule is a run that was written down by hand: which message arrives, which is late or lost, and who
// dies when. It is played on the machines of the protocol like any seed. With all rules on nothing may
// break; with Rule switched off, Breaks must.
//
// Steps has one statement to a line; # begins a comment, and "?" before a statement says that the protocol
// may leave nothing for it to do. Drives are numbers, the first n fill the slots, one more is a spare;
// coordinators are letters, each on a node of its own. A name before a colon names an operation.
//
//	n 4 [versioned] [keys 2] [spares 2]   first line: the size of the set; "buckets" = with bucket life
//	u: A PUT [staged] [key b]    A begins an operation; see scriptOps for the kinds of them
//	send u commit 0,1            requests of u arrive at these drives (all, or -3 for all but 3)
//	back u commit 0,1            answers of these drives arrive
//	do u commit 0,1              both
//	twice u commit 3             the request is doubled; the copy stays under way
//	give u commit 3              u takes the message for lost, but it stays under way
//	lose u commit 3              the message is lost, and u hears of it
//	run u [not 3]                all of u goes on until nothing is left; messages to 3 are given up
//	wake u                       the next timer of u goes off
//	die u                        the coordinator dies, without a word to its client
//	kill 3, start 3              the process of drive 3 or of coordinator A ends, and starts again
//	cut 3                        its power fails: what was not synced is lost; it starts again
//	blank 3                      all on drive 3 is lost; it comes back as the same member
//	save 3, revert 3             its disk is imaged; the image is put back, with a restart
//	rot 3                        a bit of its shard of the newest object known to stand flips
//	sync 3                       stable marks become durable
//	age 3                        the drive forgets what its horizon has passed
//	clock A 300                  a clock jumps, in milliseconds
//	wait 500                     time passes, in milliseconds
//	begin 1 4                    the control plane gives slot 1 to drive 4; then flip, done or cancel
//	learn A,1,4                  these nodes learn the newest record of the set, and of the bucket
//	expect u ok                  or refused, unknown, failed, gone, open; with "= v", what was read
//	must u ok                    the same, and I28 is broken if it is not so
type Schedule struct {
	Name   string
	About  string
	Rule   string // as in quorum.RuleNames; "" = none: it is only to hold
	Breaks string // what is broken without the rule
	Steps  string
}

// ScheduleError says that a schedule cannot be played as it is written.
type ScheduleError struct {
	Name string
	Line int
	Text string
}

func (e *ScheduleError) Error() string {
	return fmt.Sprintf("schedule %s, line %d: %s", e.Name, e.Line, e.Text)
}

// Off is the schedule's rule.
func (s *Schedule) Off() quorum.Rules {
	for _, r := range quorum.RuleNames() {
		if r.Name == s.Rule {
			return r.Rule
		}
	}
	return 0
}

// Play plays the schedule with some rules off, and returns the violation found, or nil. The error says
// that it did not run as it is written; with rules off that is not looked at.
func (s *Schedule) Play(off quorum.Rules, trace func(format string, args ...any)) (*Violation, error) {
	return s.play(off, trace, nil)
}

// play is Play, and hands the histories out if take is set.
func (s *Schedule) play(off quorum.Rules, trace func(format string, args ...any), take func(History)) (*Violation, error) {
	p := &player{s: s, strict: off == 0, w: NewWorld(Tuning{Rules: off}), names: []string{""}, ops: map[string]*scripted{}}
	p.w.trace, p.w.take = trace, take
	err := p.play()
	if err == nil {
		p.w.judge()
	}
	if p.w.broken != nil || !p.strict {
		err = nil
	}
	return p.w.broken, err
}

// scripted is a named operation of a schedule.
type scripted struct {
	label  int16
	client int16 // or -1: background work
	key    uint8
	call   int32
	value  uint16
}

// player plays one schedule.
type player struct {
	s      *Schedule
	w      *World
	strict bool
	line   int
	names  []string // of labels
	ops    map[string]*scripted
	value  uint16
	head   bool // of the operation being begun
}

func (p *player) play() (err error) {
	defer func() {
		if r := recover(); r != nil {
			if e, ok := r.(*ScheduleError); ok {
				err = e
				return
			}
			p.w.fail("panic", "%v", r)
			panic(r)
		}
	}()
	for i, line := range strings.Split(strings.TrimSpace(p.s.Steps), "\n") {
		p.line = i + 1
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rest, maybe := strings.CutPrefix(line, "?")
		p.w.note("--- %s", line)
		p.do(strings.Fields(rest), maybe || !p.strict)
		if p.w.broken != nil {
			return nil
		}
	}
	return nil
}

func (p *player) bad(format string, args ...any) {
	panic(&ScheduleError{p.s.Name, p.line, fmt.Sprintf(format, args...)})
}

func (p *player) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		p.bad("%q is no number", text)
	}
	return n
}

// do carries out one statement; maybe says that there may be nothing to do.
func (p *player) do(f []string, maybe bool) {
	w := p.w
	arg := func(i int) string {
		if i >= len(f) {
			p.bad("something is missing behind %q", strings.Join(f, " "))
		}
		return f[i]
	}
	if name, ok := strings.CutSuffix(f[0], ":"); ok {
		p.begin(name, f[1:])
		return
	}
	switch f[0] {
	case "n":
		p.found(f)
	case "send", "back", "do", "twice", "give", "lose":
		if !p.messages(f[0], arg(1), arg(2), p.drives(arg(3))) && !maybe {
			p.bad("no such message")
		}
	case "run":
		held := uint32(0)
		if len(f) > 3 {
			held = p.drives(arg(3))
		}
		p.run(p.op(arg(1)), held)
	case "wake":
		if !p.wake(p.op(arg(1)).label, true) && !maybe {
			p.bad("no timer is set")
		}
	case "die":
		for i := range w.tasks {
			if t := &w.tasks[i]; t.alive && t.label == p.op(arg(1)).label {
				w.abandon(int32(i))
			}
		}
	case "wait":
		w.now += int64(p.number(arg(1))) * ms
	case "clock":
		w.look()
		w.nodes[p.node(arg(1))].off += int64(p.number(arg(2))) * ms
	case "begin":
		p.move(quorum.Begun, p.number(arg(1)), int16(p.number(arg(2))))
	case "flip":
		p.move(quorum.Flipped, 0, 0)
	case "done", "cancel":
		p.move(quorum.Settled, 0, 0)
	case "expect":
		if text := p.outcome(f[1:]); text != "" && p.strict {
			p.bad("%s", text)
		}
	case "must":
		if text := p.outcome(f[1:]); text != "" {
			w.fail("I28", "%s, though nothing fails any more", text)
		}
	default:
		for _, name := range strings.Split(arg(1), ",") {
			if name == "all" {
				for d := range w.plan.drives {
					p.toNode(f[0], int16(d))
				}
				continue
			}
			p.toNode(f[0], p.node(name))
		}
	}
}

// toNode carries out what is done to one drive or coordinator.
func (p *player) toNode(verb string, who int16) {
	w := p.w
	d := &w.drives[who]
	switch verb {
	case "kill":
		w.stopNode(who, false)
	case "start":
		w.startNode(who)
	case "cut":
		w.stopNode(who, true)
		w.startNode(who)
	case "blank":
		w.stopNode(who, true)
		d.disk.reset()
		d.ram.bucket = w.firstBuckets()
		d.load(&d.ram)
		w.startNode(who)
		w.loss()
	case "save":
		d.saved.take(&d.safe, everything)
	case "revert":
		w.stopNode(who, true)
		d.load(&d.saved)
		w.loss()
		w.startNode(who)
	case "rot":
		w.spoil(d, 0)
	case "sync":
		d.start()
		d.finish()
	case "age":
		for k := range w.plan.keys {
			w.age(d, k)
		}
	case "learn":
		for s := range w.plan.sets {
			w.learn(who, s, w.latest(s).cfg.Epoch)
		}
		w.learnBucket(who, len(w.buckets)-1)
	default:
		p.bad("%q is no statement", verb)
	}
}

// coordinators is how many nodes without drives a schedule has.
const coordinators = 4

// found builds the world.
func (p *player) found(f []string) {
	w := p.w
	w.plan = Plan{sets: 1, keys: 1, end: never}
	spares := 1
	for i := 0; i < len(f); i++ {
		switch f[i] {
		case "spares":
			i++
			spares = p.number(f[i])
		case "n":
			i++
			w.plan.n = p.number(f[i])
		case "keys":
			i++
			w.plan.keys = p.number(f[i])
		case "versioned":
			w.plan.versioned = true
		case "buckets":
			w.plan.buckets, w.plan.keys = true, maxKeys
		default:
			p.bad("%q is not known of a world", f[i])
		}
	}
	w.plan.drives = w.plan.n + spares
	w.plan.nodes = w.plan.drives + coordinators
	w.manual, w.scripted = true, true
	w.clients = make([]client, 64)
	w.reset()
}

// node is the node of a coordinator's letter or a drive's number.
func (p *player) node(name string) int16 {
	if len(name) == 1 && name[0] >= 'A' && name[0] < 'A'+coordinators {
		return int16(p.w.plan.drives) + int16(name[0]-'A')
	}
	n := p.number(name)
	if n < 0 || n >= p.w.plan.drives {
		p.bad("there is no drive %d", n)
	}
	return int16(n)
}

// drives reads a list of drives.
func (p *player) drives(text string) (mask uint32) {
	if text == "all" {
		return 1<<p.w.plan.drives - 1
	}
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		return (1<<p.w.plan.drives - 1) &^ p.drives(rest)
	}
	for _, t := range strings.Split(text, ",") {
		mask |= 1 << p.node(t)
	}
	return mask
}

func (p *player) op(name string) *scripted {
	o := p.ops[name]
	if o == nil {
		p.bad("%q was not begun", name)
	}
	return o
}

// move commits a record of the set.
func (p *player) move(phase quorum.Phase, slot int, to int16) {
	rec := *p.w.latest(0)
	if rec.cfg.Phase == quorum.Flipped && phase == quorum.Settled {
		rec.drives[rec.cfg.Moving] = rec.drives[rec.cfg.N]
	}
	if rec.cfg.Phase = phase; phase == quorum.Begun {
		rec.cfg.Moving, rec.drives[rec.cfg.N] = slot, to
	}
	if phase == quorum.Settled {
		rec.cfg.Moving, rec.cfg.Declared = 0, 0
	}
	p.w.commit(0, rec)
}

// outcome compares what a client was told with what it should be: "op ok", "op ok = what was read".
func (p *player) outcome(f []string) (wrong string) {
	o := p.op(f[0])
	k := &p.w.calls[o.key][o.call]
	got := "ok"
	switch {
	case p.w.clients[o.client].busy:
		got = "open"
	case k.kind == 0:
		got = "failed"
	case k.ret == never:
		got = "unknown"
	case k.gone:
		got = "gone"
	case k.refused:
		got = "refused"
	}
	if len(f) < 2 || got != f[1] {
		return fmt.Sprintf("%s is %s", f[0], got)
	}
	if len(f) > 3 {
		want := uint16(0)
		if f[3] != "nothing" {
			want = p.op(f[3]).value
		}
		if k.value != want {
			return fmt.Sprintf("%s is value %d, not %d", f[0], k.value, want)
		}
	}
	return ""
}

// Schedules are all that were written down.
func Schedules() []Schedule { return slices.Concat(plain(), holes(), corrections(), needs()) }
