package sim

import "slices"

// needs are schedules of rules that neither the H nor the P show, and of which random seeds find the need
// seldom or never: most want late messages, a move and a crash at once.
func needs() []Schedule {
	return slices.Concat(needsFromAttemptEpoch(), needsFromFloorFirst(), needsFromBeginWait(), needsFromStaleAhead(), needsFromInSync(), needsOfDense(), needsOfSkewed(), needsOfUploads(), needsOfRot())
}

func needsFromAttemptEpoch() []Schedule {
	return []Schedule{
		{Name: "attempt-epoch", Rule: "attempt-epoch", Breaks: "linearizable", About: "commits held back over a whole move are counted by one who never heard of it", Steps: `
			n 4
			v: A PUT
			run v
			u: A PUT
			begin 0 4
			learn B,1,2,3,4
			m: B MOVE
			run m not 0
			learn B,1,2,3,4
			run m not 0
			learn B,1,2,3,4
			do u commit 0,1,2
			? run u not 3
			kill 1,2
			r: B HEAD
			run r`},
		{Name: "copy-marks", Rule: "copy-marks", Breaks: "I7", About: "what was proved dead before a newcomer came is finished with its help", Steps: `
			n 4
			v: A PUT
			run v
			u: A DELETE
			do u commit 3
			lose u commit 0,1,2
			do u kill 0,1
			lose u kill 2
			? lose u drop 3
			expect u failed
			begin 0 4
			learn B,0,1,2,3,4
			m: B MOVE
			run m not 3
			learn B,0,1,2,3,4
			run m not 3
			learn B,0,1,2,3,4
			kill 1
			r: B GET
			lose r report 1,4
			do r report 2,3
			? wake r
			? lose r report 1,4
			? do r report 2,3
			? do r prepare 2,3
			? lose r prepare 1,4
			run r
			expect r ok = v`},
		{Name: "fresh-read", Rule: "fresh-read", Breaks: "linearizable", About: "a read puts together an answer from before a write and one from behind a purge", Steps: `
			n 4 versioned
			v: A PUT
			run v
			r: C HEAD
			do r report 0
			u: B PUT
			do u commit 0,2,3
			lose u commit 1
			run u
			x: B PURGE v
			run x
			expect x ok
			do r report 1
			run r
			expect r ok = u`},
	}
}

// newcomersFloor moves a slot of a set that has collected a key, while a write of that key is cut off.
const newcomersFloor = `
	n 2
	u: A PUT
	send u commit 0,1
	r: C GET
	run r
	expect r ok = u
	d: B DELETE
	run d
	sync all
	c: B COLLECT
	run c
	begin 0 2
	learn B,0,1,2
	m: B MOVE
	run m
	learn B,0,1,2
	run m
	learn B,0,1,2
	learn A
	run u
	s: C GET
	run s
	expect s ok = nothing`

func needsFromFloorFirst() []Schedule {
	return []Schedule{
		{Name: "floor-first", Rule: "floor-first", Breaks: "I7", About: "a tombstone is collected, and comes late to one who was not told", Steps: `
			n 4
			d: A DELETE
			do d commit 0,1,3
			give d commit 2
			run d not 2
			expect d ok
			sync all
			c: B COLLECT
			do c report all
			? do c floor all
			? do c report all
			do c collect 0,1,3
			lose c collect 2
			send d commit 2
			s: B SETTLE
			run s`},
		{Name: "upload-stamp", Rule: "upload-stamp", Breaks: "linearizable", About: "the messages that opened an upload come again behind its end", Steps: `
			n 4
			x: A UPLOAD
			twice x upload 0,1
			do x upload all
			expect x ok
			a: B ABORT x
			run a
			expect a ok
			send x upload 0,1
			c: B COMPLETE x
			run c
			expect c refused`},
		{Name: "copy-floors", Rule: "copy-floors", Breaks: "I8", About: "a newcomer swears that it never saw what was collected before it came", Steps: newcomersFloor},
	}
}

func needsFromBeginWait() []Schedule {
	return []Schedule{
		{Name: "begin-wait", Rule: "begin-wait", Breaks: "I8", About: "as copy-floors: the mover tells a newcomer the floor before k old members have told it", Steps: newcomersFloor},
		{Name: "copy-promises", Rule: "copy-promises", Breaks: "linearizable", About: "a newcomer is told a decision, and with those who had not promised it either makes W for a write below it", Steps: `
			n 4
			v: A PUT
			run v
			begin 1 4
			learn A,B,C,0,1,2,3,4
			clock B 300
			h: B HEAL 4
			do h token 4
			do h prepare 0,1
			lose h prepare 2,3,4
			run h
			flip
			learn A,B,C,0,1,2,3,4
			done
			learn A,B,C,0,1,2,3,4
			u: A PUT
			do u commit all
			? lose u mark all
			run u
			expect u ok
			r: C GET
			run r
			expect r ok = u`},
		{Name: "copy-tombstones", Rule: "copy-tombstones", Breaks: "linearizable", About: "a newcomer without the tombstone, and a member that missed it", Steps: `
			n 4
			v: A PUT
			run v
			kill 3
			d: A DELETE
			run d
			start 3
			begin 0 4
			learn B,0,1,2,3,4
			m: B MOVE
			run m
			learn B,0,1,2,3,4
			run m
			learn B,0,1,2,3,4
			kill 1,2
			r: B HEAD
			run r
			expect r ok = nothing`},
		{Name: "collect-all", Rule: "collect-all", Breaks: "linearizable", About: "a tombstone is collected while a member that missed it is away", Steps: `
			n 4
			v: A PUT
			run v
			kill 3
			d: A DELETE
			run d
			sync 0,1,2
			c: B COLLECT
			run c
			start 3
			kill 0,1
			r: B HEAD
			run r
			expect r ok = nothing`},
	}
}

func needsFromStaleAhead() []Schedule {
	return []Schedule{
		{Name: "stale-ahead", Rule: "stale-ahead", Breaks: "I28", About: "a node whose clock was a year ahead goes on with what it had stamped, when its clock is right again", Steps: `
			n 4
			clock A 31536000000
			u: A PUT
			run u
			expect u failed
			clock A -31536000000
			x: A PUT
			run x
			must x ok`},
		{Name: "unique-revision", Rule: "unique-revision", Breaks: "I12", About: "two changes of tags with one stamp, each promised by half of the members", Steps: `
			n 4
			v: A PUT
			run v
			t: A TAG
			clock B -1
			q: B TAG
			do t prepare 0,1
			do q prepare 2,3
			? do t commit 0,1
			? do q commit 2,3
			run t
			run q
			r: C GET
			do r report 0,1
			run r
			kill 0,1
			s: C GET
			run s
			start 0,1
			kill 2,3
			g: C GET
			run g`},
		{Name: "two-completions", Rule: "unique-revision", Breaks: "I12", About: "two completions of one upload, of different parts, under one stamp", Steps: `
			n 4
			x: A UPLOAD
			run x
			c: A COMPLETE x
			clock B -1
			d: B COMPLETE x
			do c prepare 0,1
			do d prepare 2,3
			? do c commit 0,1
			? do d commit 2,3
			run c
			run d
			r: C GET
			do r report 0,1
			run r
			kill 0,1
			s: C HEAD
			run s
			start 0,1
			kill 2,3
			g: C HEAD
			run g`},
	}
}

func needsFromInSync() []Schedule {
	return []Schedule{
		{Name: "in-sync", Rule: "in-sync", Breaks: "linearizable", About: "a newcomer knows of nothing, and that is taken for evidence", Steps: `
			n 2 versioned
			v: A PUT
			run v
			u: A PUT
			run u
			begin 0 2
			learn A,B,0,1,2
			x: A PURGE u
			do x prepare all
			do x commit all
			expect x ok
			lose x mark all
			p: B PUT if absent
			do p prepare all
			run p
			expect p refused`},
		{Name: "upload-stamp-behind", Rule: "upload-stamp", Breaks: "linearizable", About: "the same, and who ended it had a clock behind that of who opened it", Steps: `
			n 4
			clock B -200
			x: A UPLOAD
			twice x upload 0,1
			do x upload all
			expect x ok
			a: B ABORT x
			run a
			expect a ok
			send x upload 0,1
			c: B COMPLETE x
			run c
			expect c refused`},
	}
}

// needsOfDense are holes that dense seeds found.
func needsOfDense() []Schedule {
	return []Schedule{
		{Name: "too-early", About: "a write is refused because no drive has adopted its epoch yet, and comes again when they have", Steps: `
			n 2
			begin 0 2
			learn A
			u: A PUT
			twice u commit all
			do u commit all
			do u kill all
			expect u unknown
			learn 0,1,2
			send u commit all
			r: B GET
			run r`},
		{Name: "heal-below-promise", About: "a drive is healed by what was decided below the ballot under which it has accepted since", Steps: `
			n 4
			u: A PUT
			do u commit 2,3
			die u
			h: A HEAL 3
			do h token 3
			do h prepare all
			s: B SETTLE
			do s prepare 2,3
			lose s prepare 0,1
			do s commit 0,2,3
			lose s commit 1
			? lose s mark 3
			run s
			e: B HEAD
			do e report 0,2
			run e
			expect e ok = u
			do h decide all
			? do h heal 3
			kill 0,2
			r: C HEAD
			run r`},
	}
}

// needsOfSkewed are holes that skewed seeds found, and one that was suspected.
func needsOfSkewed() []Schedule {
	return []Schedule{
		{Name: "copy-uploads", Rule: "copy-uploads", Breaks: "linearizable", About: "two moves, and each copy hears one alone of those who know of an upload", Steps: `
			n 4 spares 2
			x: A UPLOAD
			do x upload 0,1,2
			lose x upload 3
			run x
			expect x ok
			begin 0 4
			learn B,all
			m: B MOVE
			run m not 0,1
			? run m
			learn B,all
			? run m
			cancel # if it was not done
			learn B,all
			begin 1 5
			learn B,all
			o: B MOVE
			run o not 1,4,0
			? run o
			learn B,all
			? run o
			cancel
			learn B,all
			c: B COMPLETE x
			run c
			expect c ok`},
		{Name: "read-floor", Rule: "read-floor", Breaks: "linearizable", About: "a read puts together an answer of who missed a deletion, and one from behind its collection", Steps: `
			n 4
			v: A PUT
			run v
			d: A DELETE
			do d commit 0,1,2
			lose d commit 3
			run d
			expect d ok
			r: B HEAD
			lose r report 0,1
			do r report 3
			h: C HEAL 3
			run h
			sync all
			c: C COLLECT
			run c
			run r
			expect r ok = nothing`},
	}
}
