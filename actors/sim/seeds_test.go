package sim

import "testing"

// TestFoundSeeds replays what once failed, by name.
func TestFoundSeeds(t *testing.T) {
	w := NewWorld(Standard())
	for _, c := range []struct{ name, cut string }{
		{"kill after reclaim of a stable row", "867/5fffffffff1f/ffff/1b"},
		{"kill after reclaim, linearizable", "787/f4ffffffff1f/ff/16"},
		{"purge above a stable version", "10805/f3c3ffffff03/ff1b/1f"},
		{"two revisions under one stamp", "255/00e1/03/3"},
		{"finished under a ballot that was promised away", "13638/2a84453ecf3f/970f/1a"},
		{"upload lost with a killed completion", "1318/5dffff0f/06/1e"},
		{"upload completed twice", "1367/ff7fe1ffffffff/fe07/f"},
		{"uploads not copied", "9290/ff7fffbfff1f/7c/3f"},
		{"a move that knows the copies of another", "7535/fbffff01/ffbd/3f"},
		{"horizon a year ahead", "185/ffffff79fb07/df1f/1f"},
		{"hint lost under a revision", "255/03e501/0b/7"},
		{"kill with nobody to ask", "1488/7f/ff2e/1b"},
		{"alarm left set", "2744/27dfffff/f62b/1a"},
		{"key that a joint phase cannot resolve", "1170/fffffe0f/07/1e"},
		{"null version above a named one", "9368/fff2e4fdff7f/d6/1f"},
		{"W over two ballots", "2121135/be3dfffd0f/79/3b"},
		{"a read of two moments", "2139656/900ab9ff7f/fa0f/3b"},
		{"an upload opened late", "2003665/c7ffffffffffff03/7f/3d"},
		{"an upload given back under another completion", "2094720/0cdfffff0f/fdff/3f"},
		{"accepted, lost and unheard", "2013145/abff3f/9effff/3b"},
		{"a repeated prepare", "3087791/020a/9d07/2d"},
		{"a number of another epoch", "3127446/3a4effffffff0f/1f03/2a"},
		{"slept through the flip", "3021901/f7ff03/dd0b/37"},
		{"a tombstone that came late", "3031105/eaffffff3f/feff01/3b"},
		{"a dead mark a year ahead", "3009480"},
		{"a revision of an older version", "918611/3efff7ffff/0e/3e"},
		{"an upload ended below the stamp of its opening", "20215709/f8ffffffffff01/ff0f/29"},
		{"a floor a year ahead", "20119933/90f6ffff3f/ed/1e"},
		{"a dead mark of a time to come is kept where its stamp would be believed", "b3159992/ef9b05/0b/1f"},
		{"a write that was refused because it came too early comes again", "d5835/0c/3a/3d"},
		{"all who knew of a debt have left the set", "d98433/f70f/7e0a/3f"},
		{"a hint of a version that was removed", "50519580/2000c2307a/03/27"},
		{"an upload judged by a drive that leaves", "60075528/06d7f1ffff1f/fe07/3b"},
		{"a reader that hears of a move while it streams", "d1068232/c8/0e/1b"},
		{"a write that was let in before a freeze comes to light behind it", "s27420/0afe3f/03/3b"},
		{"a GET whose only holder finds its shard damaged", "1704/ffefffffffffff/bf06/3f"},
		{"a damaged shard below a revision in doubt", "200450/0c2ef6/2e01/2a"},
		{"a member was healed, and its shard found damaged before the others knew", "31049980/ffc36f07/dd1d/37"},
		{"a null version that moves while a page is made", "30130194/00f8ff/7d/2e"},
		{"a null version that moves past the end of a range", "30021556/ef64eeff3f/1e/2b"},
		{"a null version that moves past three others", "30111188/13f4fe/f47f/1f"},
		{"a null version that moves past a delete marker", "30131992/d7c138ffffff1f/fd03/37"},
		{"a decision told to a newcomer that promised nothing", "b736/6ccf7f/8307/3f"},
	} {
		cut, err := ParseCut(c.cut)
		if err != nil {
			t.Fatal(err)
		}
		if v := w.Run(cut); v != nil {
			t.Errorf("%s, %s: %v", c.name, c.cut, v)
		}
	}
}

// TestHardHistories runs seeds whose histories had more orders than an earlier search could look at: 8,192
// states were not enough for any of them.
func TestHardHistories(t *testing.T) {
	w := NewWorld(Standard())
	for _, seed := range []uint64{
		20026425, 20032246, 20035973, 20036320, 20103845, 20104281, 20117043, 20175429, 20186862, 20200144, 20310572,
	} {
		w.Stats = Stats{}
		if v := w.Run(Cut{Seed: seed}); v != nil {
			t.Errorf("seed %d: %v", seed, v)
		}
		if w.Widest > 4096 {
			t.Errorf("seed %d: a search takes %d states", seed, w.Widest)
		}
	}
}
