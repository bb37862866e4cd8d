package main

import (
	"strings"
	"testing"
)

func TestValuesAreTheSameEveryTime(t *testing.T) {
	v := value{seed: 7, size: minPart + 10, parts: 2}
	a, b := v.bytes(), v.bytes()
	if string(a) != string(b) {
		t.Fatal("two makings differ")
	}
	if got := len(v.part(a, 0)) + len(v.part(a, 1)); got != len(a) || len(v.part(a, 1)) != 10 {
		t.Fatalf("parts of %d bytes", got)
	}
	if !strings.HasSuffix(v.etag(a), "-2") {
		t.Fatalf("etag %s", v.etag(a))
	}
	if string((value{seed: 8, size: 100}).bytes()) == string((value{seed: 9, size: 100}).bytes()) {
		t.Fatal("two seeds make one content")
	}
}

func TestNothingIsPresentWithoutASeed(t *testing.T) {
	if (value{}).present() || !(value{seed: 1}).present() {
		t.Fatal("an empty object and no object are one")
	}
}

func TestUnansweredCallsMayComeToLightLater(t *testing.T) {
	a, b, c := value{seed: 1}, value{seed: 2}, value{seed: 3}
	is := func(v value) func(value) bool { return func(x value) bool { return x == v } }
	e := entry{acked: a, open: []value{b, c}}
	if !e.resolve(is(a)) || len(e.open) != 2 {
		t.Fatal("the old state was refused, or forgot the open calls")
	}
	if !e.resolve(is(c)) || len(e.open) != 0 {
		t.Fatal("the newest open call was refused, or left older ones open")
	}
	if e.resolve(is(a)) || e.resolve(is(b)) {
		t.Fatal("an older state came back after a newer one was seen")
	}
}
