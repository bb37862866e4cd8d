package s3api

import (
	"errors"
	"strconv"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/checksum"
	"holdfast/s3api/s3err"
	"holdfast/s3api/sigv4"
)

// getObject serves GetObject.
func getObject(c *call) error { return readObject(c, false) }

// headObject serves HeadObject: as GetObject, ranges and all, without the body.
func headObject(c *call) error { return readObject(c, true) }

// readTries is how often a read follows an object that is replaced between its head and its body.
const readTries = 4

func readObject(c *call, head bool) error {
	bucket, key, id, err := c.version()
	if err != nil {
		return err
	}
	for range readTries {
		c.errHeaders = nil
		if err = readVersion(c, bucket, key, id, head); !errors.Is(err, object.ErrReplaced) {
			break
		}
		c.answer.drop()
	}
	return err
}

// readVersion answers with the version that is named, or current now.
func readVersion(c *call, bucket cluster.Bucket, key string, id object.VersionID, head bool) error {
	cond := conditionsOf(&c.req, "")
	req := erasureset.OpenRequest{Bucket: bucket, Key: key, Version: id, HeadOnly: head}
	if cond.any {
		req.If = func(v *erasureset.Info) error {
			if v == nil {
				return nil // the absence itself is the answer
			}
			err := cond.forRead(v)
			if err != nil {
				c.keepIdentity(v)
			}
			return err
		}
	}
	h, err := c.srv.opts.Objects.Open(c.ctx, &req)
	if err != nil {
		return c.absent(err, key, id)
	}
	c.answer = answer{c: c, handle: h} // closed by whatever ends the call
	v := h.Info()
	view, err := c.viewOf(h, v)
	if err != nil {
		return err
	}
	c.versionHeader(&bucket, v, id)
	if head {
		c.viewHeaders(v, &view)
		c.rc.Response.Header.SetContentLength(int(view.rng.Len()))
		c.answer.drop()
		return nil
	}
	if view.rng.Len() == 0 {
		c.viewHeaders(v, &view)
		c.answer.drop()
		return nil
	}
	stream, err := h.Read(c.ctx, view.rng)
	if err != nil {
		return err
	}
	c.viewHeaders(v, &view)
	c.send(h, stream, view.rng.Len())
	return nil
}

// keepIdentity lets a 304 or 412 say which object it is about.
func (c *call) keepIdentity(v *erasureset.Info) {
	c.errHeader("ETag", quoted(v.ETag))
	c.errHeader("Last-Modified", httpDate(v.ModTime))
	if v.CacheControl != "" {
		c.errHeader("Cache-Control", v.CacheControl)
	}
	if v.Expires != "" {
		c.errHeader("Expires", v.Expires)
	}
}

// view is the part of an object that a read asks for.
type view struct {
	rng     object.Range
	partial bool // 206
	parts   int  // x-amz-mp-parts-count, when a part was asked for
	sums    []ondisk.Checksum
}

// viewOf finds out which bytes a read wants: all, a range, or a part.
func (c *call) viewOf(h erasureset.Handle, v *erasureset.Info) (view, error) {
	w := view{rng: object.Range{End: v.Size}}
	checksums := c.req.get("x-amz-checksum-mode") == "ENABLED"
	number, byPart := c.req.Param("partNumber")
	header := c.req.get("range")
	switch {
	case byPart && header != "":
		return w, s3err.InvalidRequest.Msg("Cannot specify both Range header and partNumber query parameter")
	case byPart:
		return c.partView(h, v, number, checksums)
	case header != "" && rangeHolds(&c.req, v):
		r, ok, err := parseRange(header, v.Size)
		if err != nil {
			c.errHeader("Content-Range", "bytes */"+strconv.FormatInt(v.Size, 10))
			return w, err
		}
		if ok {
			w.rng, w.partial = r, true
		}
	}
	if checksums && !w.partial {
		w.sums = v.Checksums
	}
	return w, nil
}

// partView finds the bytes of one part. An object that was not uploaded in parts has one.
func (c *call) partView(h erasureset.Handle, v *erasureset.Info, number string, checksums bool) (view, error) {
	n, ok := parseDigits(number)
	if !ok || n < 1 || n > int64(c.srv.limits.MaxParts) {
		return view{}, s3err.InvalidArgument.Msg("Part number must be an integer between 1 and %d, inclusive", c.srv.limits.MaxParts).
			With("ArgumentName", "partNumber").With("ArgumentValue", number)
	}
	w := view{rng: object.Range{End: v.Size}, partial: v.Size > 0} // no Content-Range can say that of nothing nothing was taken
	if v.Parts == 0 {
		if n != 1 {
			return w, s3err.InvalidPartNumber
		}
		if checksums {
			w.sums = v.Checksums
		}
		return w, nil
	}
	parts, err := h.Parts(c.ctx)
	if err != nil {
		return w, err
	}
	if n > int64(len(parts)) {
		return w, s3err.InvalidPartNumber.With("PartNumberRequested", number).
			With("ActualPartCount", strconv.Itoa(len(parts)))
	}
	w.rng, w.parts = object.Range{}, len(parts)
	for i := range n {
		w.rng.Start = w.rng.End
		w.rng.End += parts[i].Size
	}
	w.partial = w.rng.Len() > 0
	if checksums {
		w.sums = parts[n-1].Checksums
	}
	return w, nil
}

// viewHeaders sets status and headers of a read.
func (c *call) viewHeaders(v *erasureset.Info, w *view) {
	c.objectHeaders(v)
	if w.partial {
		c.rc.SetStatusCode(206)
		c.header("Content-Range", contentRange(w.rng, v.Size))
	}
	if w.parts > 0 {
		c.headerInt("x-amz-mp-parts-count", int64(w.parts))
	}
	c.checksumHeaders(w.sums, int(v.Parts))
	if w.parts > 0 && len(w.sums) > 0 && len(v.Checksums) > 0 {
		// The values are the part's, the type says how the object's own is made from them.
		c.header("x-amz-checksum-type", checksum.TypeName(v.Checksums[0].Composite))
	}
}

// errHeader adds a header to the error answer that is about to be.
func (c *call) errHeader(name, value string) {
	c.errHeaders = append(c.errHeaders, sigv4.Header{Name: name, Value: value})
}
