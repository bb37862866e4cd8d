package ondisk

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"holdfast/raftfsm/cluster"
)

// relabel replaces text in the full label and gives it a right checksum.
func relabel(t testing.TB, old, new string) []byte {
	t.Helper()
	l := fullLabel()
	b, err := EncodeLabel(&l)
	if err != nil {
		t.Fatal(err)
	}
	body := string(b[:len(b)-labelTail])
	if !strings.Contains(body, old) {
		t.Fatalf("no %s in %s", old, body)
	}
	body = strings.Replace(body, old, new, 1)
	return fmt.Appendf(nil, "%s%s%08x\n", body, labelCRC, crc32c([]byte(body)))
}

func TestLabelRoundTrip(t *testing.T) {
	full := fullLabel()
	for _, l := range []Label{full, {Drive: cluster.DriveID{1}, Compat: []string{}, ROCompat: []string{}, Incompat: []string{}}} {
		b, err := EncodeLabel(&l)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeLabel(b)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range got.Unknown {
			got.Unknown[k] = bytes.Join(bytes.Fields(v), nil) // indented by the encoder
		}
		if !reflect.DeepEqual(got, l) {
			t.Errorf("got  %+v\nwant %+v", got, l)
		}
	}
}

func TestLabelErrors(t *testing.T) {
	full := fullLabel()
	good, err := EncodeLabel(&full)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want error
		text string
	}{
		{"foreign file", []byte("#!/bin/sh\nexit 1\n"), ErrNotLabel, "#!/bin/sh"},
		{"foreign JSON", []byte(`{"version":"1","format":"xl"}`), ErrNotLabel, "begins with"},
		{"empty", nil, ErrCorrupt, "cut off"},
		{"no checksum line", good[:len(good)-labelTail], ErrCorrupt, "cut off"},
		{"other magic", relabel(t, "holdfast drive", "holdfast thing"), ErrNotLabel, "begins with"},
		{"newer version", relabel(t, `"version": 2`, `"version": 9`), ErrNewer, "version 9"},
		{"newer version, other shape", relabel(t, "\"version\": 2,\n", "\"version\": 3, \"cluster\": 7,\n"), ErrNewer, "version 3"},
		{"older version", relabel(t, `"version": 2`, `"version": 1`), ErrOlder, "version 1"},
		{"feature", relabel(t, `"incompat": []`, `"incompat": ["wide"]`), ErrNewer, `"wide"`},
		{"bad id", relabel(t, `"drive": "03`, `"drive": "x3`), ErrCorrupt, "impossible"},
		{"no JSON", relabel(t, `"version": 2`, `"version": `), ErrCorrupt, "label"},
		{"upper-case digits", []byte(strings.ToUpper(string(good))), ErrNotLabel, ""},
	} {
		_, err := DecodeLabel(c.in)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.want, c.text)
		}
	}
	if got, err := DecodeLabel(good); err != nil || got.ReadOnly() != `"c"` {
		t.Errorf("ReadOnly: %v, %v", got.ReadOnly(), err)
	}
}
