package sim

// needs are schedules of rules that neither the H nor the P show, and of which random seeds find the need
// seldom or never: most want late messages, a move and a crash at once.
func needs() []Schedule {
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
		{Name: "ballot-epoch", Rule: "ballot-epoch", Breaks: "linearizable", About: "the same with the commits of a reader that finishes what it found, under a ballot", Steps: `
			n 4
			v: A PUT
			run v
			u: C PUT
			do u commit 0,1
			die u
			clock A 50
			r: A GET
			do r report 0,1
			lose r report 2,3
			wake r
			do r report 0,1
			lose r report 2,3
			do r prepare 0,1
			lose r prepare 2,3
			begin 0 4
			learn B,1,2,3,4
			m: B MOVE
			run m not 0
			learn B,1,2,3,4
			run m not 0
			learn B,1,2,3,4
			do r commit 0,1,2
			lose r commit 3
			run r not 0
			kill 1,2
			s: B HEAD
			run s`},
		{Name: "copy-marks", Rule: "copy-marks", Breaks: "I7", About: "a newcomer takes what was proved dead before it came", Steps: `
			n 4
			v: A PUT
			run v
			u: A PUT
			do u commit 1,3
			lose u commit 0,2
			die u
			k: B SETTLE
			do k prepare all
			do k kill all
			do k drop 0,2
			lose k drop 1,3
			begin 0 4
			learn B,0,1,2,3,4
			m: B MOVE
			run m
			learn B,0,1,2,3,4
			run m
			learn B,0,1,2,3,4
			kill 2
			r: B GET
			lose r report 4
			do r report 1,2,3
			wake r
			lose r report 4
			do r report 1,2,3
			do r prepare 1,2,3
			lose r prepare 4
			do r commit 1,3,4
			run r not 4`},
		{Name: "copy-floors", Rule: "copy-floors", Breaks: "I8", About: "a newcomer swears that it never saw what was collected before it came", Steps: `
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
			expect s ok = nothing`},
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
		{Name: "unique-revision", Rule: "unique-revision", Breaks: "linearizable", About: "two changes of tags with one stamp, each promised by half of the members", Steps: `
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
	}
}
