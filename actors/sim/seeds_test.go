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
