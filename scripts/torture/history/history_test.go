package history

import (
	"bytes"
	"path/filepath"
	"reflect"
	"testing"
)

func example() *History {
	return &History{
		Seed: 7, Command: `torture --seed 7 --faults "kill"`, Faults: []Fault{{From: 1, To: 2, What: "kill"}},
		Ops: []Op{
			{Client: 1, Key: "a", Via: "PUT", Kind: Write, Value: "e1", Outcome: OK, Invoke: 5, Return: 9},
			{Client: 2, Key: "a", Via: "GET", Kind: Read, Outcome: OK, Invoke: 1, Return: 2},
			{Client: 3, Key: "b", Via: "PUT", Kind: Write, If: IfMatch, Want: "e1", Value: "e2", Outcome: Unknown, Status: 503, Error: "x\ny", Invoke: 1, Return: 1},
		},
	}
}

func TestHistoriesComeBackAsTheyWere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.json")
	want := example()
	if err := want.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	keys := got.Keys()
	if len(keys) != 2 || len(keys["a"]) != 2 || keys["a"][0].Client != 2 {
		t.Fatalf("keys %v", keys)
	}
	empty := &History{}
	if err := empty.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if got, err = ReadFile(path); err != nil || len(got.Ops) != 0 {
		t.Fatalf("an empty history: %+v, %v", got, err)
	}
}

func TestUnknownWordsAreRefused(t *testing.T) {
	for _, spoil := range []func(*Op){
		func(o *Op) { o.Kind = "swap" },
		func(o *Op) { o.If = "maybe" },
		func(o *Op) { o.Outcome = "" },
		func(o *Op) { o.Key = "" },
		func(o *Op) { o.Value = "" },
		func(o *Op) { o.Return = 4 },
	} {
		h := example()
		spoil(&h.Ops[0])
		var b bytes.Buffer
		if err := h.Encode(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b.Bytes()); err == nil {
			t.Errorf("accepted: %s", b.Bytes())
		}
	}
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	if err := example().Encode(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"ops":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := Decode(in)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := h.Encode(&again); err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again.Bytes())
		if err != nil || len(back.Ops) != len(h.Ops) {
			t.Fatalf("%v: %s", err, again.Bytes())
		}
		for i := range h.Ops {
			_ = h.Ops[i].String()
		}
	})
}
