package sim

import "slices"

// uploadOnThree opens an upload that drive 3 has not heard of.
const uploadOnThree = `
	n 4
	x: A UPLOAD
	do x upload 0,1,2
	lose x upload 3
	run x
	expect x ok`

// completionReplaced is an upload, a completion of it that two drives take, and a PUT that replaces it.
const completionReplaced = uploadOnThree + `
	c: A COMPLETE x
	do c prepare all
	do c commit 0,1
	lose c commit 2,3
	p: C PUT
	do p commit all`

// needsOfUploads are about uploads that are said to be gone. One was found by a skewed seed, the others followed from
// the question what else such an answer may rest on.
func needsOfUploads() []Schedule {
	return slices.Concat(uploadsAndMoves(), uploadsAndVersions(), uploadsAndCompletions())
}

func uploadsAndMoves() []Schedule {
	return []Schedule{
		{Name: "gone-and-moved", Rule: "gone-for-good", Breaks: "linearizable", About: "an abort that too few of the new members took is taken for done, and the newcomer still has the upload", Steps: `
			n 4
			begin 3 4
			learn A,B,0,1,2,3,4
			x: A UPLOAD
			do x upload all
			expect x ok
			a: A ABORT x
			do a prepare 0,3
			do a decide 0,1,3
			lose a decide 2,4
			run a
			expect a unknown
			c: B COMPLETE x
			run c
			expect c failed
			m: B MOVE
			run m
			learn B,0,1,2,3,4
			run m
			learn B,0,1,2,3,4
			d: B COMPLETE x
			run d
			expect d ok`},
		{Name: "gone-and-cancelled", Rule: "", About: "the same, and the move is cancelled", Steps: `
			n 4
			begin 3 4
			learn A,B,0,1,2,3,4
			x: A UPLOAD
			do x upload all
			a: A ABORT x
			do a prepare 0,3
			do a decide 0,1,3
			lose a decide 2,4
			expect a unknown
			c: B COMPLETE x
			run c
			expect c failed
			cancel
			learn B,0,1,2,3,4
			d: B COMPLETE x
			run d
			expect d refused`},
	}
}

func uploadsAndVersions() []Schedule {
	return []Schedule{
		{Name: "completed-twice", Rule: "bury-named", Breaks: "I8", About: "in a versioned bucket, a completion that another has passed over is finished", Steps: `
			n 4 versioned
			x: A UPLOAD
			run x
			c: A COMPLETE x
			do c prepare all
			do c commit 0,1
			die c
			p: C PUT
			run p
			d: B COMPLETE x
			do d prepare all
			run d
			expect d ok
			s: C VERSIONS
			do s prepare 0,1,2
			lose s prepare 3
			run s`},
		{Name: "abort-undone", Rule: "bury-named", Breaks: "linearizable", About: "the same, and the upload was aborted", Steps: `
			n 4 versioned
			x: A UPLOAD
			run x
			c: A COMPLETE x
			do c prepare all
			do c commit 0,1
			die c
			a: B ABORT x
			do a prepare all
			run a
			expect a ok
			p: C PUT
			run p
			q: C PUT if match p
			run q
			s: C VERSIONS
			do s prepare 0,1,2
			lose s prepare 3
			run s
			d: B COMPLETE x
			run d`},
	}
}

func uploadsAndCompletions() []Schedule {
	return []Schedule{
		{Name: "gone-and-healed", Rule: "gone-for-good", Breaks: "linearizable", About: "a heal brings back to two drives what was seen on one", Steps: uploadOnThree + `
			h: C HEAL 3
			do h token 3
			do h prepare all
			a: A ABORT x
			do a prepare 0,1
			do a decide 0,1
			lose a decide 2,3
			expect a unknown
			c: B COMPLETE x
			do c prepare all
			expect c refused
			do h heal 3
			d: B COMPLETE x
			run d
			expect d refused`},
		{Name: "gone-and-killed", Rule: "gone-for-good", Breaks: "linearizable", About: "an upload is taken for gone beside a completion, which is killed and gives it back", Steps: completionReplaced + `
			lose p mark all
			run p
			d: B COMPLETE x
			do d prepare all
			lose d mark all
			run d
			expect d failed
			do c kill 2,3
			do c drop 0,1
			run c
			expect c unknown
			e: B COMPLETE x
			run e
			expect e ok`},
		{Name: "replaced-and-killed", Rule: "killed-unknown", Breaks: "linearizable", About: "a completion is replaced where it was taken and killed elsewhere: its upload is gone, and nothing was done", Steps: completionReplaced + `
			run p
			do c kill 2,3
			? do c drop 0,1
			run c
			expect c unknown
			e: B COMPLETE x
			run e
			expect e refused`},
	}
}
