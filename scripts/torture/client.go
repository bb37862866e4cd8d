package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"holdfast/scripts/s3light"
	"holdfast/scripts/torture/history"
)

// client is one worker: it has one connection to each endpoint and one operation under way at a time.
type client struct {
	id     int
	bucket string
	conns  []*s3light.Conn
	rng    *rand.Rand
	rec    *recorder
	lib    *library
}

// patience is how long clients wait for an answer: some give up early, so that what they asked for goes
// on without them.
var patience = [...]time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}

func newClient(id int, o *options, seed uint64, eps []s3light.Endpoint, rec *recorder, lib *library) *client {
	c := &client{id: id, bucket: o.bucket, rng: rand.New(rand.NewPCG(seed, uint64(id)+1)), rec: rec, lib: lib}
	for _, ep := range eps {
		ep.Timeout = patience[id%len(patience)]
		c.conns = append(c.conns, s3light.NewConn(&ep))
	}
	return c
}

func (c *client) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// work does operations until ctx ends. After one that did not go well it rests a little, else a server
// without a quorum would fill the history with unknown outcomes.
func (c *client) work(ctx context.Context) {
	defer c.close()
	for ctx.Err() == nil {
		rest := time.Duration(c.rng.Int64N(int64(6 * time.Millisecond)))
		if !c.step() {
			rest = 20*time.Millisecond + time.Duration(c.rng.Int64N(int64(150*time.Millisecond)))
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// conn picks an endpoint.
func (c *client) conn() (*s3light.Conn, int) {
	i := c.rng.IntN(len(c.conns))
	return c.conns[i], i
}

// begin starts an operation of the history.
func (c *client) begin(endpoint int, via string, kind history.Kind, key string) history.Op {
	return history.Op{Client: c.id, Endpoint: endpoint, Via: via, Kind: kind, Key: key, Invoke: c.rec.now()}
}

// end gives an operation its outcome by its error and reports whether it went well. What it returns is
// not in the history yet.
func (c *client) end(op *history.Op, err error) bool {
	op.Return = c.rec.now()
	op.Status = s3light.Status(err)
	if err == nil {
		op.Outcome = history.OK
		return true
	}
	op.Error = brief(err)
	op.Outcome = history.Unknown
	switch code := op.Status; {
	case code == 0:
		if notSent(err) {
			op.Outcome = history.Failed
		}
	case code == 404 && missing(err) && (op.Kind == history.Read || op.If == history.IfMatch):
		// The answer saw that there is nothing.
		op.Kind, op.If, op.Want, op.Value, op.Outcome = history.Read, history.Always, "", "", history.OK
		return true
	case code == 412 && op.If != history.Always:
		op.Outcome = history.Refused
		return true
	case code == 409, code == 501:
		op.Outcome = history.Failed
	case code == 400 && strings.Contains(op.Error, "RequestTimeout"):
	case code < 500:
		op.Outcome = history.Failed
		c.rec.violation("client %d: %s of %s: an answer that does not fit: %s", c.id, op.Via, op.Key, op.Error)
	}
	if op.Kind == history.Read {
		op.Outcome = history.Failed
	}
	return false
}

// keep is end for operations that have nothing more to say.
func (c *client) keep(op history.Op, err error) bool {
	well := c.end(&op, err)
	c.rec.add(op)
	return well
}

// notSent says that a request cannot have reached the server.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// missing tells an absent key from an absent bucket or upload. The answer to a HEAD has no body.
func missing(err error) bool {
	var se *s3light.StatusError
	return errors.As(err, &se) && (se.Method == "HEAD" || strings.Contains(se.Body, "NoSuchKey"))
}

// brief is an error without the XML around it.
func brief(err error) string {
	s := err.Error()
	if _, rest, ok := strings.Cut(s, "<Code>"); ok {
		code, rest, _ := strings.Cut(rest, "</Code>")
		_, message, _ := strings.Cut(rest, "<Message>")
		message, _, _ = strings.Cut(message, "</Message>")
		s = code + ": " + message
	}
	return s[:min(len(s), 200)]
}

// saw completes a read with what a GET or HEAD brought, and checks it.
func (c *client) saw(op *history.Op, conn *s3light.Conn, err error, from int, whole bool) bool {
	if !c.end(op, err) || op.Status != 0 {
		return op.Outcome == history.OK
	}
	op.Value = string(conn.ETag())
	var wrong error
	if op.Via == "HEAD" {
		size, _ := strconv.ParseInt(string(conn.Header("Content-Length")), 10, 64)
		wrong = c.lib.size(op.Value, size)
	} else {
		wrong = c.lib.body(op.Value, from, conn.Body, whole)
	}
	if wrong != nil {
		c.rec.violation("client %d: %s of %s at %.6f s, ETag %q: %v", c.id, op.Via, op.Key, float64(op.Invoke)/1e9, op.Value, wrong)
		op.Outcome, op.Error = history.Failed, wrong.Error()
	}
	return true
}

// wrote checks the ETag that a write was answered with.
func (c *client) wrote(op *history.Op, etag string) {
	if op.Outcome == history.OK && op.Kind == history.Write && etag != op.Value {
		c.rec.violation("client %d: %s of %s at %.6f s was answered with ETag %q, want %q", c.id, op.Via, op.Key, float64(op.Invoke)/1e9, etag, op.Value)
	}
}
