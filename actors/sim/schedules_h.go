package sim

import "slices"

// holes are H1..H20, the counter-examples to the first draft of the protocol.
func holes() []Schedule {
	return slices.Concat(holesFromH1(), holesFromH5(), holesFromH9(), holesFromH13(), holesFromH17(), holesOfFloors())
}

func holesFromH1() []Schedule {
	return []Schedule{
		{Name: "H1", Rule: "stable-or-w", Breaks: "I3", About: "what k drives hold is returned, and another read does not see it", Steps: `
			n 4
			v: A PUT
			run v
			u: A PUT
			do u commit 0,1
			die u
			r: B GET
			run r
			expect r ok = v
			kill 0,1
			s: C GET
			run s
			expect s ok = v`},
		{Name: "H2", Rule: "kill-proof", Breaks: "I7", About: "a writer that heard nothing takes back what was read", Steps: `
			n 4
			v: A PUT
			run v
			u: A PUT
			send u commit 0,1,2
			lose u commit all
			r: B GET
			run r
			expect r ok = u
			lose u kill 0,1
			do u kill 2
			do u kill 3
			? run u
			expect u unknown
			s: C GET
			run s
			expect s ok = u`},
		{Name: "H3", Rule: "same-write-id", Breaks: "I8", About: "one PUT happens twice, because it is stamped anew without proof that its first try is dead", Steps: `
			n 4
			v: A PUT
			run v
			clock A 50
			e: A PUT
			send e commit 0
			b: B PUT
			do b commit 0,1,2
			send b commit 3
			lose b commit 3
			r: C GET
			run r
			expect r ok = b
			run b
			expect b ok`},
		{Name: "H4", Rule: "keep-to-stable", Breaks: "I28", About: "two unfinished versions take the place of the acknowledged one, each elsewhere: it is lost", Steps: `
			n 6
			v: A PUT
			run v
			u: A PUT
			do u commit 0,1
			die u
			x: A PUT
			do x commit 2,3
			die x
			r: B GET
			run r
			must r ok = v`},
	}
}

func holesFromH5() []Schedule {
	return []Schedule{
		{Name: "H5", Rule: "watermark", Breaks: "linearizable", About: "two drives come back empty and the other two blink: 404", Steps: `
			n 4
			v: A PUT
			run v
			blank 0,1
			kill 2,3
			r: B GET
			run r
			expect r failed
			start 2,3
			s: B GET
			run s
			expect s ok = v`},
		{Name: "H6", Rule: "gc-floor", Breaks: "linearizable", About: "commits that were doubled arrive behind delete, collection and restart", Steps: `
			n 4
			v: A PUT
			twice v commit 0,1,2
			do v commit all
			run v not 0,1,2
			d: A DELETE
			run d
			sync all
			c: B COLLECT
			run c
			kill 0,1,2,3
			start 0,1,2,3
			send v commit 0,1,2
			r: C GET
			run r
			expect r ok = nothing`},
		{Name: "H7", Rule: "heal-token", Breaks: "linearizable", About: "a healer stalls with what it read; delete and collection; then it writes", Steps: `
			n 4
			v: A PUT
			give v commit 3
			do v commit 0,1,2
			h: A HEAL 3
			do h token 3
			do h prepare all
			g: A HEAL 2
			do g token 2
			do g prepare all
			d: B DELETE
			run d
			sync all
			c: B COLLECT
			run c
			send h heal 3
			send g heal 2
			kill 0,1
			r: C GET
			run r
			expect r ok = nothing`},
		{Name: "H8", Rule: "accept-promise", Breaks: "linearizable", About: "a plain write slips below a conditional one that has decided", Steps: `
			n 4
			clock A 50
			p: A PUT if absent
			do p prepare all
			u: B PUT
			run u
			run p
			r: C GET
			run r`},
	}
}

func holesFromH9() []Schedule {
	return []Schedule{
		{Name: "H9", Rule: "resolve-first", Breaks: "linearizable", About: "If-None-Match meets half of an acknowledged version", Steps: `
			n 6
			v: A PUT
			do v commit 0,1,2,3
			lose v commit 4,5
			lose v mark all
			expect v ok
			p: B PUT if absent
			do p prepare 2,3,4,5
			run p
			expect p refused`},
		{Name: "H10", Rule: "durable-promise", Breaks: "linearizable", About: "two of three promises are gone with the power", Steps: `
			n 4
			clock A 50
			p: A PUT if absent
			do p prepare 0,1,2
			cut 1,2
			u: B PUT
			run u not 0
			expect u ok
			do p commit 0,1,2
			run p
			r: C GET
			run r`},
		{Name: "H11", About: "an acknowledgement waits for stragglers, but not for ever; what is missing is known", Steps: `
			n 4
			u: A PUT
			do u commit 0,1,2
			expect u open
			do u commit 3
			expect u ok
			run u
			v: A PUT
			do v commit 0,1,2
			expect v open
			wake v
			expect v ok
			run v not 3
			h: B HEAL 3
			run h
			kill 0,1
			r: C GET
			run r
			expect r ok = v`},
		{Name: "H12", Rule: "seal", Breaks: "linearizable", About: "a PUT is under way while the bucket is found empty and removed", Steps: `
			n 4 buckets
			c: A CREATE
			learn A,B,0,1,2,3
			d: A DROP
			do d fence all
			learn B
			u: B PUT
			do d vacant all
			expect d ok
			do u commit all
			run u
			expect u gone`},
	}
}

func holesFromH13() []Schedule {
	return []Schedule{
		{Name: "H13", Rule: "done-wait", Breaks: "linearizable", About: "a move ends while k old members still answer for the epoch before its flip", Steps: `
			n 4
			v: A PUT
			run v
			begin 0 4
			learn A,B,0,1,2,3,4
			m: B MOVE
			run m
			learn B,2,3,4
			do m adopt 2,3,4
			learn B,2,3,4
			u: B PUT
			run u not 0,1
			r: A GET
			do r report 0,1
			run r not 2,3
			expect r ok = v`},
		{Name: "H14", Rule: "list-resolve", Breaks: "linearizable", About: "an acknowledged key is seen once among k answers, and left out of a list", Steps: `
			n 4 buckets
			c: A CREATE
			learn A,B,0,1,2,3
			u: A PUT
			do u commit 1,2,3
			lose u commit 0
			lose u mark all
			expect u ok
			l: B LIST
			run l`},
		{Name: "H15", Rule: "same-write-id", Breaks: "I8", About: "as H3 in a versioned bucket: one PUT becomes two versions", Steps: `
			n 4 versioned
			v: A PUT
			run v
			clock A 50
			e: A PUT
			send e commit 0
			b: B PUT
			do b commit 0,1,2
			send b commit 3
			lose b commit 3
			run b
			die e
			l: C VERSIONS
			run l
			expect b ok`},
		{Name: "H16", Rule: "pin", Breaks: "I21", About: "a GET streams; the version is overwritten and reclaimed", Steps: `
			n 4
			v: A PUT
			run v
			g: B GET
			do g report 0,1
			do g fetch 0,1
			u: A PUT
			run u
			do g fetch 0,1
			run g
			expect g ok = v`},
	}
}

func holesFromH17() []Schedule {
	return []Schedule{
		{Name: "H17", Rule: "clock-bound", Breaks: "I22", About: "a clock is a year ahead", Steps: `
			n 4
			v: A PUT
			run v
			clock B 31536000000
			u: B PUT
			run u
			expect u failed
			clock B -31536000000
			x: B PUT
			run x
			must x ok`},
		{Name: "H18", Rule: "watermark", Breaks: "linearizable", About: "an old image is put back: what the drive had accepted is absent there", Steps: `
			n 4
			save 3
			v: A PUT
			do v commit 1,2,3
			lose v commit 0
			lose v mark all
			expect v ok
			revert 3
			kill 1,2
			r: B GET
			run r
			expect r failed
			start 1,2
			s: B GET
			run s
			expect s ok = v`},
		{Name: "H19", Rule: "accept-dead", Breaks: "I7", About: "a commit arrives behind its own death", Steps: `
			n 4
			clock B 50
			e: B PUT
			do e commit 0,1
			u: A PUT
			do u commit 0,1
			give u commit 2,3
			do u kill all
			expect u failed
			send u commit 2,3
			run e
			r: C GET
			run r
			expect r ok = e`},
		{Name: "H20", Rule: "bucket-revision", Breaks: "linearizable", About: "a node writes under a setting of the bucket that has been changed", Steps: `
			n 4 buckets
			c: A CREATE
			learn A,B,0,1,2,3
			f: A FREEZE
			do f fence 0,1
			expect f ok
			u: B PUT
			run u
			expect u unknown`},
	}
}

func holesOfFloors() []Schedule {
	return []Schedule{
		{Name: "H17-floor", Rule: "clock-bound", Breaks: "I22", About: "a ballot of a year ahead, promised by a drive whose clock was as wrong, raises no floor", Steps: `
			n 4 keys 2
			d: A DELETE
			run d
			clock 3 31536000000
			clock B 31536000000
			p: B PUT if absent
			do p prepare all
			die p
			clock B -31536000000
			clock 3 -31536000000
			sync all
			c: A COLLECT
			run c
			x: A PUT key b
			run x
			must x ok`},
	}
}
