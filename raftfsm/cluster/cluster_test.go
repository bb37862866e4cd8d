package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseBucketName(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc": true, "a-b.c": true, "123": true, strings.Repeat("a", 63): true, "1.2.3": true, "my-bucket.example.com": true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "Abc": false, "a_b": false, "-abc": false, "abc-": false,
		".abc": false, "abc.": false, "a..b": false, "192.168.5.4": false, "xn--abc": false, "sthree-abc": false,
		"amzn-s3-demo-x": false, "abc-s3alias": false, "abc--ol-s3": false, "abc.mrap": false, "abc--x-s3": false,
		"abc--table-s3": false, "ab\x00c": false, "bücket": false, "a/b": false,
	} {
		got, err := ParseBucketName(name)
		if (err == nil) != ok || ok && string(got) != name || !ok && !errors.Is(err, ErrBucketName) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

func TestSetQuorums(t *testing.T) {
	for n, want := range map[int][2]int{1: {1, 1}, 2: {1, 2}, 4: {2, 3}, 8: {4, 5}, 16: {8, 9}} {
		s := Set{Members: make([]DriveID, n)}
		if s.N() != n || s.K() != want[0] || s.W() != want[1] || n > 1 && s.K()+s.W() <= n {
			t.Errorf("n = %d: k = %d, W = %d", n, s.K(), s.W())
		}
	}
}

func TestIdentities(t *testing.T) {
	a, b := NewID(), NewID()
	if a == b || len(ID(a).String()) != 32 || DriveID(a).IsZero() || !(DriveID{}).IsZero() {
		t.Fatalf("%x, %x", a, b)
	}
	if DriveID(a).String() != NodeID(a).String() {
		t.Fatal("identities print differently")
	}
}

func TestCredentialHidesItsSecret(t *testing.T) {
	c := Credential{AccessKey: "bob", SecretKey: "hunter2"}
	for _, f := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(f, c); strings.Contains(text, "hunter2") || !strings.Contains(text, "bob") {
			t.Errorf("%s: %s", f, text)
		}
	}
}

func FuzzParseBucketName(f *testing.F) {
	f.Add("abc")
	f.Add("192.168.5.4")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseBucketName(s); err == nil && (strings.ContainsAny(s, "/\x00 ") || string(n) != s || len(s) < 3 || len(s) > 63) {
			t.Fatalf("%q is taken for a bucket name", s)
		}
	})
}
