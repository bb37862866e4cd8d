package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/daemon/nodetest"
	"holdfast/scripts/s3light"
	"holdfast/scripts/torture/history"
	"holdfast/scripts/torture/stub"
)

func endpoint(t *testing.T, url, user, secret string) s3light.Endpoint {
	t.Helper()
	ep, err := s3light.ParseEndpoint(url, s3light.Credentials{AccessKey: user, SecretKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	return *ep
}

// TestOneWinnerInEachRound is the race on a whole node, in a short form; --race 1000 is the long one.
func TestOneWinnerInEachRound(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	nd.Want(200, "PUT", "/race", nil)
	ep := endpoint(t, nd.URL(""), nodetest.Root.User, nodetest.Root.Password)
	if err := race(t.Context(), "race", "t/", 12, 64, []s3light.Endpoint{ep}, newLibrary(1)); err != nil {
		t.Fatalf("%v\nlog:\n%s", err, nd.Log)
	}
}

// TestClientsOfAWholeNode lets the clients work on a node without faults, one after the other: every
// answer fits.
func TestClientsOfAWholeNode(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	nd.Want(200, "PUT", "/torture", nil)
	ep := endpoint(t, nd.URL(""), nodetest.Root.User, nodetest.Root.Password)
	o := &options{bucket: "torture", slots: 3}
	rec, lib := newRecorder(2, o.slots), newLibrary(2)
	c := newClient(1, o, 2, []s3light.Endpoint{ep}, rec, lib)
	defer c.close()
	for range 400 {
		if !c.step() {
			t.Errorf("not well: %s", &rec.ops[len(rec.ops)-1])
		}
	}
	if err := readBack("read back", []*client{c}, rec); err != nil {
		t.Fatal(err)
	}
	if wrong := rec.violations(); len(wrong) > 0 {
		t.Fatalf("%s", strings.Join(wrong, "\n"))
	}
}

func TestRacesWithSeveralWinnersAreFound(t *testing.T) {
	right, wrong := httptest.NewServer(stub.New(stub.Wrong{})), httptest.NewServer(stub.New(stub.Wrong{Race: true}))
	defer right.Close()
	defer wrong.Close()
	// Two endpoints of one store.
	eps := []s3light.Endpoint{endpoint(t, right.URL, "a", "b"), endpoint(t, right.URL, "a", "b")}
	if err := race(t.Context(), "b", "t/", 5, 16, eps, newLibrary(1)); err != nil {
		t.Errorf("a correct store: %v", err)
	}
	err := race(t.Context(), "b", "t/", 5, 16, []s3light.Endpoint{endpoint(t, wrong.URL, "a", "b")}, newLibrary(1))
	if !errors.Is(err, errRace) {
		t.Errorf("a store without atomic conditions: %v", err)
	}
}

// load lets clients work on a store for a while and returns what they saw.
func load(t *testing.T, w stub.Wrong) (*recorder, *library) {
	t.Helper()
	srv := httptest.NewServer(stub.New(w))
	defer srv.Close()
	o := &options{bucket: "torture", slots: 2, clients: 4}
	rec, lib := newRecorder(9, o.slots), newLibrary(9)
	var clients []*client
	for i := range o.clients {
		clients = append(clients, newClient(i, o, 9, []s3light.Endpoint{endpoint(t, srv.URL, "a", "b")}, rec, lib))
	}
	for range 60 {
		for _, c := range clients {
			c.step()
		}
	}
	if err := readBack("read back", clients, rec); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		c.close()
	}
	return rec, lib
}

func TestACorrectStoreIsFoundCorrect(t *testing.T) {
	rec, _ := load(t, stub.Wrong{})
	if wrong := rec.violations(); len(wrong) > 0 {
		t.Fatalf("%s", strings.Join(wrong, "\n"))
	}
	h := history.History{Ops: rec.ops}
	path := filepath.Join(t.TempDir(), "h.json")
	if err := h.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if back, err := history.ReadFile(path); err != nil || len(back.Ops) != len(rec.ops) {
		t.Fatalf("%v", err)
	}
	// One after the other, the operations leave one state behind each; the last reads tell it. That it
	// is so says that the history means what it should, without the judge.
	last := map[string]string{}
	for _, op := range rec.ops {
		switch {
		case op.Outcome != history.OK:
		case op.Kind == history.Read && op.Value != last[op.Key]:
			t.Fatalf("%s, but %q stands", &op, last[op.Key])
		case op.Kind != history.Read:
			last[op.Key] = op.Value
		}
	}
	seen := map[string]int{}
	for _, op := range rec.ops {
		seen[op.Via]++
	}
	for _, via := range []string{"GET", "HEAD", "LIST", "PUT", "PUT in chunks", "DELETE", "DeleteObjects", "CopyObject", "copy's source", "read back", "read back LIST"} {
		if seen[via] == 0 {
			t.Errorf("no %s in %v", via, seen)
		}
	}
}

func TestRotIsFoundWhileReading(t *testing.T) {
	rec, _ := load(t, stub.Wrong{Rot: true})
	wrong := rec.violations()
	if !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, errBytes.Error()) }) {
		t.Fatalf("a flipped bit was not found: %q", wrong)
	}
}

func TestContentIsWhatItsETagSays(t *testing.T) {
	lib := newLibrary(3)
	body, etag := lib.add(minPart+10, 2)
	other, otherTag := lib.add(100, 0)
	if !strings.HasSuffix(etag, "-2") || etag == otherTag || string(body[:100]) == string(other) {
		t.Fatalf("ETags %s, %s", etag, otherTag)
	}
	if err := errors.Join(lib.body(etag, 0, body, true), lib.body(etag, 7, body[7:15], false), lib.size(otherTag, 100)); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"short":       lib.body(etag, 0, body[:50], true),
		"another's":   lib.body(otherTag, 0, body[:100], true),
		"wrong place": lib.body(etag, 8, body[7:15], false),
		"size":        lib.size(etag, 100),
	} {
		if !errors.Is(err, errBytes) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := lib.body("e", 0, nil, true); !errors.Is(err, errForeign) {
		t.Error(err)
	}
}

func TestKeysGiveWayToFreshOnes(t *testing.T) {
	rec := newRecorder(1, 2)
	first, _ := rec.key(0)
	for range maxUnknown {
		rec.add(history.Op{Key: first, Kind: history.Write, Value: "x", Outcome: history.Unknown})
	}
	second, etag := rec.key(0)
	if second == first || etag != "" || !rec.known(first) || len(rec.names(false)) != 2 || len(rec.names(true)) != 3 {
		t.Fatalf("%q, then %q, %v", first, second, rec.names(true))
	}
	for range maxOps {
		rec.add(history.Op{Key: second, Kind: history.Read, Value: "x", Outcome: history.OK})
	}
	if third, _ := rec.key(0); third == second {
		t.Fatal("no end of a key's life")
	}
}

func TestWordsOfTheCommandLine(t *testing.T) {
	o, err := parse([]string{"--race", "5"})
	if err != nil || o.duration != 0 {
		t.Errorf("a race alone: %+v, %v", o, err)
	}
	o, err = parse([]string{"--race", "5", "--duration", "3s", "--endpoint", "http://a:1", "--endpoint", "http://b:1"})
	if err != nil || o.duration != 3*time.Second || len(o.endpoints) != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	if again := o.command(8); !strings.Contains(again, "--seed 8") || !strings.Contains(again, "--endpoint http://b:1") {
		t.Error(again)
	}
	if _, err := chosen("kill,flood"); err == nil {
		t.Error("an unknown fault was accepted")
	}
	if names, err := chosen("all"); err != nil || len(names) != len(faults()) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestSmallPlacesCanBeFilled(t *testing.T) {
	at, err := makePlaces(t.TempDir(), 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := at.close(); err != nil {
			t.Error(err)
		}
	}()
	if at.small < 0 {
		return // this machine does not let us mount: the tool pretends
	}
	if err := at.fill(); err != nil {
		t.Fatal(err)
	}
	if err := at.free(); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsFollowFromTheSeed(t *testing.T) {
	draw := func() (out []int) {
		n := &nemesis{rng: rand.New(rand.NewPCG(5, 0)), at: &places{drives: make([]string, 4)}}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		for range 10 {
			n.rest(ctx, 0, time.Second)
			out = append(out, n.drive())
		}
		return out
	}
	if !slices.Equal(draw(), draw()) {
		t.Fatal("two draws differ")
	}
}
