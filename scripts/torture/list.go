package main

import (
	"encoding/xml"
	"fmt"
	"strings"

	"holdfast/scripts/s3light"
	"holdfast/scripts/torture/history"
)

// page is a request for one page of a list.
type page struct {
	prefix, after string
	max           int
}

// list reads one page, of one slot's keys or of all.
func (c *client) list() bool {
	p := page{prefix: c.rec.prefix, max: 1000}
	if c.rng.IntN(2) == 0 {
		p.prefix += fmt.Sprint(c.rng.IntN(c.rec.slots)) + "/"
	}
	if c.rng.IntN(2) == 0 {
		// From just before a hot key, so that even a short page meets some.
		p.after, _ = c.rec.key(c.rng.IntN(c.rec.slots))
		p.after = p.after[:len(p.after)-2]
		p.max = 1 + c.rng.IntN(5)
	}
	_, _, err := c.readPage("LIST", p, c.rec.names(false))
	return err == nil
}

// readPage reads a page and keeps one read for each of the keys in its range, present or not. It returns
// the last name of a page that was cut.
func (c *client) readPage(via string, p page, keys map[string]bool) (last string, cut bool, err error) {
	conn, at := c.conn()
	q := fmt.Sprintf("list-type=2&max-keys=%d&prefix=%s", p.max, s3light.Escape(p.prefix))
	if p.after != "" {
		q += "&start-after=" + s3light.Escape(p.after)
	}
	first := c.begin(at, via, history.Read, p.prefix)
	err = conn.Do(&s3light.Request{Method: "GET", Bucket: c.bucket, Query: q, Collect: true})
	var l s3light.Listing
	if err == nil {
		err = xml.Unmarshal(conn.Body, &l)
	}
	if !c.end(&first, err) {
		c.rec.add(first)
		return "", false, err
	}
	found := map[string]string{}
	last = p.after
	for _, o := range l.Contents {
		etag := strings.Trim(o.ETag, `"`)
		if o.Key <= last || !strings.HasPrefix(o.Key, p.prefix) || !c.rec.known(o.Key) {
			c.rec.violation("client %d: %s of %q after %q at %.6f s: %q follows %q: out of order, or written by nobody", c.id, via, p.prefix, p.after, float64(first.Invoke)/1e9, o.Key, last)
		}
		if wrong := c.lib.size(etag, o.Size); wrong != nil {
			c.rec.violation("client %d: %s of %q at %.6f s: %q, ETag %q: %v", c.id, via, p.prefix, float64(first.Invoke)/1e9, o.Key, etag, wrong)
		}
		found[o.Key], last = etag, o.Key
	}
	var ops []history.Op
	for key := range keys {
		if strings.HasPrefix(key, p.prefix) && key > p.after && (!l.IsTruncated || key <= last) {
			op := first
			op.Key, op.Value = key, found[key]
			ops = append(ops, op)
		}
	}
	c.rec.add(ops...)
	return last, l.IsTruncated, nil
}
