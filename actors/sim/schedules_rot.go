package sim

// needsOfRot are about shards that rot.
func needsOfRot() []Schedule {
	return []Schedule{
		{Name: "shard-sum", Rule: "shard-sum", Breaks: "I20", About: "a shard rots and is read", Steps: `
			n 4
			v: A PUT
			run v
			sync all
			rot 0
			r: B GET
			run r
			expect r ok = v # from those who were not asked at first`},
		{Name: "spoilt", Rule: "spoilt", Breaks: "I28", About: "a shard rots and is found; after it was healed two others rot", Steps: `
			n 4
			v: A PUT
			run v
			sync all
			rot 0
			r: B GET
			run r
			h: C HEAL 0
			run h
			sync all
			rot 1,2
			s: B GET
			run s
			must s ok = v`},
		{Name: "spoilt-source", About: "the same is found by a heal of another drive that would take the shard for a source", Steps: `
			n 4
			v: A PUT
			do v commit 0,1,2
			lose v commit 3
			run v
			sync all
			rot 0
			h: C HEAL 3
			run h
			i: C HEAL 3
			run i
			j: C HEAL 0
			run j
			rot 1,2
			s: B GET
			run s
			must s ok = v`},
	}
}
