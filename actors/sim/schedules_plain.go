package sim

import "slices"

// plain are schedules of the rules that everything rests on, and whose absence seeds notice soon; the last
// one they never reached.
func plain() []Schedule {
	return slices.Concat(plainFromWriteQuorum(), plainFromJointAcks(), plainFromBallotCount(), plainFromBallotEpoch())
}

func plainFromWriteQuorum() []Schedule {
	return []Schedule{
		{Name: "write-quorum", Rule: "write-quorum", Breaks: "I2", About: "an acknowledgement at k accepts", Steps: `
			n 4
			u: A PUT
			do u commit 0,1
			? wake u
			expect u open`},
		{Name: "evidence", Rule: "evidence", Breaks: "linearizable", About: "one drive's word that there is nothing", Steps: `
			n 4
			v: A PUT
			do v commit 1,2,3
			lose v commit 0
			lose v mark all
			expect v ok
			r: B GET
			run r
			expect r ok = v`},
		{Name: "skip-bound", Rule: "skip-bound", Breaks: "linearizable", About: "an acknowledged version is passed over while those who hold it are silent", Steps: `
			n 4
			v: A PUT
			run v
			u: A PUT
			do u commit 0,1,2
			lose u commit 3
			lose u mark all
			expect u ok
			kill 1,2
			r: B HEAD
			run r
			expect r failed
			start 1,2
			s: B GET
			run s
			expect s ok = u`},
		{Name: "mark-exclusion", Rule: "mark-exclusion", Breaks: "I7", About: "a drive holds an attempt and marks it dead", Steps: `
			n 4
			u: A PUT
			send u commit 0,1
			lose u commit all
			do u kill 0,1
			run u
			r: B GET
			run r`},
		{Name: "accept-newest", Rule: "accept-newest", Breaks: "linearizable", About: "a write below what stands is acknowledged, and never seen", Steps: `
			n 4
			clock B 50
			e: B PUT
			run e
			u: A PUT
			run u
			expect u ok
			r: C GET
			run r
			expect r ok = u`},
	}
}

func plainFromJointAcks() []Schedule {
	return []Schedule{
		{Name: "joint-acks", Rule: "joint-acks", Breaks: "I2", About: "W of the old members alone acknowledge while a slot moves", Steps: `
			n 4
			begin 1 4
			learn A,B,0,1,2,3,4
			u: A PUT
			do u commit 0,1,3
			give u commit 2,4
			? wake u
			? wake u
			? run u not 2,4`},
		{Name: "flip-wait", Rule: "flip-wait", Breaks: "linearizable", About: "a newcomer is a judge before it holds anything", Steps: `
			n 4
			v: A PUT
			do v commit 0,1,2
			lose v commit 3
			lose v mark all
			expect v ok
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
			expect r ok = v`},
		{Name: "revision-count", Rule: "revision-count", Breaks: "I3", About: "who holds the version is counted for its revision", Steps: `
			n 4
			v: A PUT
			run v
			t: A TAG
			do t prepare all
			do t commit 0,1
			die t
			r: B HEAD
			run r
			expect r ok = v`},
		{Name: "horizon", Rule: "horizon", Breaks: "I7", About: "commits arrive when the marks of their death have been forgotten", Steps: `
			n 4
			v: A PUT
			run v
			u: A PUT
			do u commit 0
			give u commit 1,2,3
			do u kill 1,2,3
			do u drop 0
			expect u failed
			sync all
			wait 5000
			c: B COLLECT
			run c
			sync all
			wait 5000
			d: B COLLECT
			run d
			send u commit 1,2,3
			r: C GET
			run r
			expect r ok = v`},
	}
}

func plainFromBallotCount() []Schedule {
	return []Schedule{
		{Name: "ballot-count", Rule: "ballot-count", Breaks: "I3", About: "accepts under two ballots are added up", Steps: `
			n 4
			v: A PUT
			run v
			u: A PUT
			do u commit 0,1
			die u
			r: B HEAD
			do r report 0,1
			lose r report 2,3
			wake r
			do r report 0,1
			lose r report 2,3
			do r prepare 0,1
			lose r prepare 2,3
			do r commit 2
			die r
			s: C GET
			run s`},
		{Name: "list-horizon", Rule: "list-horizon", Breaks: "I26", About: "a page goes on behind the end of a drive's answer", Steps: `
			n 4 buckets
			c: A CREATE
			learn A,B,0,1,2,3
			u: A PUT key a
			do u commit 1,2,3
			lose u commit 0
			run u
			v: A PUT key b
			run v
			l: B LIST one
			run l`},
		{Name: "list-moved", Rule: "list-moved", Breaks: "linearizable", About: "a null version is replaced between two ranges of a page, and moves to before the second", Steps: `
			n 4 versioned
			u: A PUT null
			run u
			v: A PUT
			run v
			l: B PAGES one
			do l list 0,1
			w: A PUT null
			run w
			expect w ok
			run l`},
		{Name: "one-decision", Rule: "one-decision", Breaks: "linearizable", About: "an upload is completed, and then aborted by who had decided before", Steps: `
			n 4
			x: A UPLOAD
			run x
			a: A ABORT x
			do a prepare all
			c: B COMPLETE x
			run c
			expect c ok
			run a
			r: C GET
			run r
			expect r ok = x`},
	}
}

func plainFromBallotEpoch() []Schedule {
	return []Schedule{
		{Name: "ballot-epoch", Rule: "ballot-epoch", Breaks: "linearizable", About: "a reader finishes what it found under a ballot from before a move, and counts whom the move has left behind", Steps: `
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
	}
}
