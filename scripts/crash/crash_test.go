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
