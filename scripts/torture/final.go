package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/scripts/s3light"
	"holdfast/scripts/torture/history"
)

// healLimit is how long after the last fault every key must be readable.
const healLimit = 60 * time.Second

// readBack reads every key that was ever used, byte by byte, and lists them all: these reads join the
// history, so what was acknowledged and is not there makes it impossible. It reports an error for what
// cannot be read within the limit.
func readBack(via string, clients []*client, rec *recorder) error {
	var keys []string
	for key := range rec.names(true) {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	deadline := time.Now().Add(healLimit)
	next := make(chan string)
	errs := make(chan error, len(clients))
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			var first error
			for key := range next {
				if err := c.insist(via, key, deadline); err != nil && first == nil {
					first = err
				}
			}
			errs <- first
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
	for range clients {
		if err := <-errs; err != nil {
			return err
		}
	}
	return clients[0].listAll(via+" LIST", deadline)
}

// insist reads a key until there is an answer.
func (c *client) insist(via, key string, deadline time.Time) error {
	for {
		conn, at := c.conn()
		op := c.begin(at, via, history.Read, key)
		err := conn.Do(&s3light.Request{Method: "GET", Bucket: c.bucket, Key: key, Collect: true})
		well := c.saw(&op, conn, err, 0, true)
		c.rec.add(op)
		if well {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s cannot be read %v after the faults were over: %w", key, healLimit, err)
		}
		time.Sleep(50 * time.Millisecond) // polling a server that heals
	}
}

// listAll lists every key, page by page.
func (c *client) listAll(via string, deadline time.Time) error {
	p := page{prefix: c.rec.prefix, max: 100}
	keys := c.rec.names(true)
	for {
		last, cut, err := c.readPage(via, p, keys)
		switch {
		case err == nil && !cut:
			return nil
		case err == nil:
			p.after = last
		case time.Now().After(deadline):
			return fmt.Errorf("the list cannot be read %v after the faults were over: %w", healLimit, err)
		default:
			time.Sleep(50 * time.Millisecond)
		}
	}
}
