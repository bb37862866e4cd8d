package drive_test

import "testing"

// TestPlacesOfManyVersions: to learn which payloads of a key are in use takes one walk through its rows, not one
// for each payload.
func TestPlacesOfManyVersions(t *testing.T) {
	r := smallJournal(t)
	const n = 400
	for range n {
		r.commit(r.version("k", "small"))
	}
	found, steps, err := r.a.ReferSteps(key("k"))
	if err != nil {
		t.Fatal(err)
	}
	if found != n || steps > 5*n {
		t.Errorf("of %d payloads %d are found, in %d steps", n, found, steps)
	}
	t.Logf("%d payloads: %d steps", n, steps)
}
