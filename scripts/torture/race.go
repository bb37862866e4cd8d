package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"holdfast/scripts/s3light"
)

// errRace is returned for a round of a race that had no winner, or several.
var errRace = errors.New("not exactly one winner")

// race lets many writers race for one key over all endpoints, round after round: first with
// If-None-Match: * on a fresh key, then with If-Match on the ETag that stands. Each race has exactly
// one winner, all others are refused, and its body stands afterwards.
func race(ctx context.Context, bucket, prefix string, rounds, writers int, eps []s3light.Endpoint, lib *library) error {
	conns := make([]*s3light.Conn, writers)
	for i := range conns {
		conns[i] = s3light.NewConn(&eps[i%len(eps)])
		defer conns[i].Close()
	}
	for round := 1; round <= rounds; round++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		key := fmt.Sprintf("%s%06d", prefix, round)
		winner, err := oneRace(bucket, key, s3light.Header{Name: "if-none-match", Value: "*"}, conns, lib)
		if err == nil {
			_, err = oneRace(bucket, key, s3light.Header{Name: "if-match", Value: `"` + winner + `"`}, conns, lib)
		}
		if err != nil {
			return fmt.Errorf("round %d of %d, %d writers: %w", round, rounds, writers, err)
		}
	}
	return nil
}

// oneRace returns the winner's ETag.
func oneRace(bucket, key string, cond s3light.Header, conns []*s3light.Conn, lib *library) (string, error) {
	bodies, etags, errs := make([][]byte, len(conns)), make([]string, len(conns)), make([]error, len(conns))
	for i := range conns {
		// Every eighth writer has a body that goes the long way.
		size := 100 + i
		if i%8 == 0 {
			size = 200<<10 + i
		}
		bodies[i], etags[i] = lib.add(size, 0)
	}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			<-start
			errs[i] = conn.Do(&s3light.Request{Method: "PUT", Bucket: bucket, Key: key, Header: []s3light.Header{cond}, Body: bodies[i]})
		})
	}
	close(start)
	wg.Wait()
	winner, winners := "", 0
	for i, err := range errs {
		switch status := s3light.Status(err); {
		case err == nil:
			winner = etags[i]
			winners++
		case status == 412 || status == 409:
		default:
			return "", fmt.Errorf("%s, %s: neither won nor refused: %w", key, cond.Name, err)
		}
	}
	if winners != 1 {
		return "", fmt.Errorf("%s, %s: %w: %d writers got 200", key, cond.Name, errRace, winners)
	}
	// Through another endpoint than most of the race's last answers came from.
	reader := conns[len(conns)-1]
	if err := reader.Do(&s3light.Request{Method: "GET", Bucket: bucket, Key: key, Collect: true}); err != nil {
		return "", fmt.Errorf("%s after the race: %w", key, err)
	}
	got := strings.Clone(string(reader.ETag()))
	if got != winner {
		return "", fmt.Errorf("%s, %s: %w: %s won and %s stands", key, cond.Name, errRace, winner, got)
	}
	if err := lib.body(got, 0, reader.Body, true); err != nil {
		return "", fmt.Errorf("%s after the race: %w", key, err)
	}
	return winner, nil
}
