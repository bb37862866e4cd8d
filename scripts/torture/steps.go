package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"

	"holdfast/scripts/s3light"
	"holdfast/scripts/torture/history"
)

// step does one operation on a hot key, chosen at random, and reports whether it went well.
func (c *client) step() bool {
	key, etag := c.rec.key(c.rng.IntN(c.rec.slots))
	switch p := c.rng.IntN(100); {
	case p < 22:
		return c.get(key)
	case p < 30:
		return c.head(key)
	case p < 35:
		return c.list()
	case p < 62:
		return c.put(key, history.Always, "")
	case p < 71:
		return c.put(key, history.IfNone, "")
	case p < 81:
		return c.put(key, history.IfMatch, etag)
	case p < 83:
		return c.multipart(key)
	case p < 89:
		return c.delete(key, history.Always, "")
	case p < 92:
		return c.delete(key, history.IfMatch, etag)
	case p < 95:
		return c.deleteMany()
	default:
		return c.copyFrom(key)
	}
}

// size covers inline, packed and streamed objects; none is so small that two could have the same bytes.
func (c *client) size() int {
	switch p := c.rng.IntN(100); {
	case p < 40:
		return 16 + c.rng.IntN(4<<10)
	case p < 75:
		return 16 + c.rng.IntN(64<<10)
	case p < 95:
		return 16 + c.rng.IntN(1<<20)
	default:
		return 16 + c.rng.IntN(4<<20)
	}
}

// header is what makes a request conditional.
func header(cond history.Condition, want string) []s3light.Header {
	switch cond {
	case history.IfNone:
		return []s3light.Header{{Name: "if-none-match", Value: "*"}}
	case history.IfMatch:
		return []s3light.Header{{Name: "if-match", Value: `"` + want + `"`}}
	}
	return nil
}

func (c *client) get(key string) bool {
	conn, at := c.conn()
	r := s3light.Request{Method: "GET", Bucket: c.bucket, Key: key, Collect: true}
	from := 0
	if c.rng.IntN(8) == 0 {
		// Every object has these bytes.
		from = c.rng.IntN(8)
		r.Header = []s3light.Header{{Name: "range", Value: fmt.Sprintf("bytes=%d-%d", from, from+7)}}
	}
	op := c.begin(at, "GET", history.Read, key)
	well := c.saw(&op, conn, conn.Do(&r), from, r.Header == nil)
	c.rec.add(op)
	return well
}

func (c *client) head(key string) bool {
	conn, at := c.conn()
	op := c.begin(at, "HEAD", history.Read, key)
	well := c.saw(&op, conn, conn.Do(&s3light.Request{Method: "HEAD", Bucket: c.bucket, Key: key}), 0, true)
	c.rec.add(op)
	return well
}

func (c *client) put(key string, cond history.Condition, want string) bool {
	if cond == history.IfMatch && want == "" {
		cond = history.Always
	}
	conn, at := c.conn()
	body, etag := c.lib.add(c.size(), 0)
	r := s3light.Request{Method: "PUT", Bucket: c.bucket, Key: key, Header: header(cond, want), Body: body}
	via := "PUT"
	if c.rng.IntN(4) == 0 {
		r.Body, r.Stream, via = nil, s3light.NewStream(body), "PUT in chunks"
	}
	op := c.begin(at, via, history.Write, key)
	op.If, op.Want, op.Value = cond, want, etag
	well := c.end(&op, conn.Do(&r))
	c.wrote(&op, string(conn.ETag()))
	c.rec.add(op)
	return well
}

// multipart uploads two parts and completes, in one of two under a condition. Only the completion is an
// operation on the key.
func (c *client) multipart(key string) bool {
	conn, at := c.conn()
	body, etag := c.lib.add(minPart+1+c.rng.IntN(1<<20), 2)
	id, err := conn.CreateUpload(c.bucket, key)
	if err != nil {
		return c.unexpected("CreateMultipartUpload", key, err)
	}
	parts := content{size: len(body), parts: 2}
	var etags []string
	for i := range parts.parts {
		conn, at = c.conn()
		tag, err := conn.PutPart(s3light.Request{Bucket: c.bucket, Key: key, Body: parts.part(body, i)}, id, i+1)
		if err != nil {
			return c.unexpected("UploadPart", key, err)
		}
		etags = append(etags, tag)
	}
	cond := history.Always
	if c.rng.IntN(2) == 0 {
		cond = history.IfNone
	}
	op := c.begin(at, "Complete", history.Write, key)
	op.If, op.Value = cond, etag
	return c.keep(op, conn.Complete(c.bucket, key, id, etags, header(cond, "")...))
}

// unexpected judges the error of a request that is no operation on a key: it may fail, but not be refused.
func (c *client) unexpected(what, key string, err error) bool {
	if code := s3light.Status(err); code >= 400 && code < 500 && !strings.Contains(err.Error(), "RequestTimeout") {
		c.rec.violation("client %d: %s of %s: an answer that does not fit: %s", c.id, what, key, brief(err))
	}
	return false
}

func (c *client) delete(key string, cond history.Condition, want string) bool {
	if cond == history.IfMatch && want == "" {
		cond = history.Always
	}
	conn, at := c.conn()
	op := c.begin(at, "DELETE", history.Delete, key)
	op.If, op.Want = cond, want
	return c.keep(op, conn.Do(&s3light.Request{Method: "DELETE", Bucket: c.bucket, Key: key, Header: header(cond, want)}))
}

// deleted is the answer to DeleteObjects.
type deleted struct {
	Deleted []struct{ Key string }
	Error   []struct{ Key, Code, Message string }
}

// deleteMany deletes some of the hot keys with one request, each under a condition or not.
func (c *client) deleteMany() bool {
	conn, at := c.conn()
	var b bytes.Buffer
	b.WriteString("<Delete>")
	ops := map[string]*history.Op{}
	for _, slot := range c.rng.Perm(c.rec.slots)[:1+c.rng.IntN(c.rec.slots)] {
		key, etag := c.rec.key(slot)
		op := c.begin(at, "DeleteObjects", history.Delete, key)
		b.WriteString("<Object><Key>" + key + "</Key>")
		if etag != "" && c.rng.IntN(2) == 0 {
			op.If, op.Want = history.IfMatch, etag
			b.WriteString("<ETag>" + etag + "</ETag>")
		}
		b.WriteString("</Object>")
		ops[key] = &op
	}
	b.WriteString("</Delete>")
	err := conn.Do(&s3light.Request{Method: "POST", Bucket: c.bucket, Query: "delete=", Body: b.Bytes(), Collect: true,
		Header: []s3light.Header{{Name: "content-md5", Value: s3light.ContentMD5(b.Bytes())}}})
	var doc deleted
	if err == nil {
		err = xml.Unmarshal(conn.Body, &doc)
	}
	answers := map[string]error{}
	for _, d := range doc.Deleted {
		answers[d.Key] = nil
	}
	for _, e := range doc.Error {
		answers[e.Key] = &s3light.StatusError{Method: "POST", Path: e.Key, Status: statusOf(e.Code), Body: "<Code>" + e.Code + "</Code><Message>" + e.Message + "</Message>"}
	}
	well := true
	for key, op := range ops {
		one, told := answers[key]
		if err != nil {
			one = err
		} else if !told {
			c.rec.violation("client %d: DeleteObjects says nothing of %s", c.id, key)
			continue
		}
		well = c.keep(*op, one) && well
	}
	return well
}

// statusOf is the status that an error of one entry would have had alone.
func statusOf(code string) int {
	switch code {
	case "NoSuchKey":
		return 404
	case "PreconditionFailed":
		return 412
	case "ConditionalRequestConflict", "OperationAborted":
		return 409
	case "NotImplemented":
		return 501
	case "InternalError", "ServiceUnavailable", "SlowDown":
		return 503
	}
	if strings.HasPrefix(code, "Invalid") || strings.HasPrefix(code, "Malformed") || code == "AccessDenied" {
		return 400
	}
	return 500 // other servers have words of their own for an outcome that is not known
}

// copyFrom copies another hot key's object, if it is still the one that was last seen there: so what a
// copy without an answer would write is known.
func (c *client) copyFrom(key string) bool {
	src, etag := c.rec.key(c.rng.IntN(c.rec.slots))
	if src == key || etag == "" || strings.Contains(etag, "-") { // a copy of parts has another ETag
		return c.get(key)
	}
	conn, at := c.conn()
	read := c.begin(at, "copy's source", history.Read, src)
	read.If, read.Want = history.IfMatch, etag
	op := c.begin(at, "CopyObject", history.Write, key)
	op.Value = etag
	err := conn.Do(&s3light.Request{Method: "PUT", Bucket: c.bucket, Key: key, Collect: true, Header: []s3light.Header{
		{Name: "x-amz-copy-source", Value: "/" + c.bucket + "/" + s3light.Escape(src)},
		{Name: "x-amz-copy-source-if-match", Value: `"` + etag + `"`},
	}})
	// An answer may begin before the copy is done, and then say in its body that it failed.
	if err == nil && bytes.Contains(conn.Body, []byte("<Error>")) {
		err = &s3light.StatusError{Method: "PUT", Path: key, Status: 500, Body: string(conn.Body)}
	}
	var result struct{ ETag string }
	if err == nil {
		err = xml.Unmarshal(conn.Body, &result)
	}
	well := c.end(&read, err)
	op.Status, op.Return, op.Error = read.Status, read.Return, read.Error
	switch {
	case err == nil:
		read.Value, op.Outcome = etag, history.OK
		c.wrote(&op, strings.Trim(result.ETag, `"`))
	case well || notSent(err) || s3light.Status(err) != 0 && s3light.Status(err) < 500:
		op.Outcome = history.Failed
	default:
		op.Outcome = history.Unknown
	}
	c.rec.add(read, op)
	return well
}
