package sim

import "slices"

// corrections are P1..P7: what the check of the protocol on paper found to be wrong.
func corrections() []Schedule {
	return slices.Concat(correctionsFromP1(), correctionsFromP4(), correctionsFromP7())
}

func correctionsFromP1() []Schedule {
	return []Schedule{
		{Name: "P1", Rule: "superseded", Breaks: "I7", About: "reclaimed is taken for never held: a version that was read is proved dead", Steps: `
			n 4
			clock B 50
			v: B PUT
			do v commit 0
			u: A PUT
			send u commit all
			r: C GET
			run r
			expect r ok = u
			run v not 3
			expect v ok
			lose u commit all
			run u
			expect u ok
			s: C GET
			run s
			expect s ok = v`},
		{Name: "P2", Rule: "one-epoch-count", Breaks: "I3", About: "W of the old members is not W while a slot moves", Steps: `
			n 4
			v: A PUT
			run v
			begin 1 4
			learn A,B,C,0,1,2,3,4
			u: A PUT
			do u commit 0,1,3
			give u commit 2,4
			r: B GET
			do r report all
			run r
			expect r ok = v # which is neither acknowledged nor can be`},
		{Name: "P3", Rule: "collect-synced", Breaks: "linearizable", About: "a tombstone is collected, and elsewhere its mark goes with the power", Steps: `
			n 4 keys 2
			v: A PUT
			run v
			sync all
			d: A DELETE
			do d commit all
			w: A PUT key b # whose end raises the floors
			run w
			e: A DELETE key b
			run e
			sync all
			x: B COLLECT key b
			run x
			run d
			c: B COLLECT
			do c report all
			? do c collect 0,2
			cut 1,3
			r: C GET
			run r
			expect r ok = nothing`},
	}
}

func correctionsFromP4() []Schedule {
	return []Schedule{
		{Name: "P4", Rule: "raise-floor", Breaks: "linearizable", About: "a collection forgets promises: two If-None-Match win", Steps: `
			n 4
			v: A PUT
			run v
			d: A DELETE
			run d
			sync all
			p: A PUT if absent
			do p prepare all
			q: B PUT if absent
			do q prepare all
			c: C COLLECT
			run c
			do p commit all
			do q commit all
			run p
			run q`},
		{Name: "P5", Rule: "newcomer-unknown", Breaks: "I8", About: "a newcomer swears that it never saw what was before its time", Steps: `
			n 4
			u: A PUT
			send u commit 0,1,3
			r: C GET
			run r
			expect r ok = u
			v: B PUT
			run v
			begin 0 4
			learn B,0,1,2,3,4
			m: B MOVE
			run m
			learn B,0,1,2,3,4
			run m
			learn B,0,1,2,3,4
			learn A
			run u
			expect u unknown
			s: C GET
			run s
			expect s ok = v`},
		{Name: "P6", Rule: "joint-kill", Breaks: "I7", About: "proved dead among the old members, finished among the new", Steps: `
			n 4
			v: A PUT
			run v
			begin 0 4
			learn A,B,C,0,1,2,3,4
			m: B MOVE
			run m
			u: A PUT
			do u commit 1,3
			lose u commit 0,2,4
			do u kill 0,2
			lose u kill 4
			? lose u drop 1,3
			expect u unknown
			learn B,C,0,1,2,3,4
			run m
			learn B,C,0,1,2,3,4
			kill 2
			r: C GET
			run r
			expect r ok = u`},
	}
}

func correctionsFromP7() []Schedule {
	return []Schedule{
		{Name: "P7", Rule: "decision", Breaks: "linearizable", About: "behind an abort, the remains of a completion are finished", Steps: `
			n 6
			x: A UPLOAD
			run x
			c: A COMPLETE x
			do c prepare 0,1,2,3
			a: B ABORT x
			do a prepare 3,4,5
			do c commit 0,1,2
			do a decide all
			expect a ok
			die c
			kill 5
			r: C GET
			run r
			expect r ok = nothing`},
	}
}
