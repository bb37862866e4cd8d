package object

import (
	"errors"
	"testing"
)

func TestVersionIDs(t *testing.T) {
	ref := VersionRef{TS: 0x0102030405060708, Write: WriteID{0xff, 0xfe, 15: 9}}
	for want, id := range map[string]VersionID{
		"null": NullVersion, "AQIDBAUGBwj__gAAAAAAAAAAAAAAAAAJ": {Named: true, Ref: ref},
	} {
		if id.String() != want {
			t.Errorf("%+v is written %q, want %q", id, id.String(), want)
		}
		if got, err := ParseVersionID(want); err != nil || got != id {
			t.Errorf("%q is read as %+v, %v", want, got, err)
		}
	}
	if s := (VersionID{}).String(); s != "" {
		t.Errorf("no version is written %q", s)
	}
	id := IDOf(ref, false)
	if !id.Names(ref, false) || id.Names(VersionRef{TS: 1}, false) || !NullVersion.Names(ref, true) || NullVersion.Names(ref, false) {
		t.Error("a version is taken for another")
	}
}

func FuzzParseVersionID(f *testing.F) {
	for _, s := range []string{"", "null", "AQIDBAUGBwj__gAAAAAAAAAAAAAAAAAJ", "AQIDBAUGBwj//gAAAAAAAAAAAAAAAAAJ", "AQIDBAUGBwj__gAAAAAAAAAAAAAAAAA",
		"AQIDBAUGBwj__gAAAAAAAAAAAAAAAAAJ\n", "\nAQIDBAUGBwj__gAAAAAAAAAAAAAAAAA", "AQIDBAUGBwj__gAAAAAAAAAAAAAAAAAJA", "NULL"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseVersionID(s)
		if err != nil {
			if !errors.Is(err, ErrVersionID) || id != (VersionID{}) {
				t.Errorf("%q: %+v, %v", s, id, err)
			}
			return
		}
		if id.String() != s {
			t.Errorf("%q is read as %+v, which is written %q", s, id, id.String())
		}
	})
}
