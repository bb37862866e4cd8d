package s3api

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/actors/ondisk"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/checksum"
	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
	"holdfast/s3api/sigv4"
)

// goneEvery is how often a long copy looks whether its client is still there.
const goneEvery = time.Second

// copyObject serves CopyObject.
func copyObject(c *call) error {
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	cond, err := writeCondition(&c.req)
	if err != nil {
		return err
	}
	algo, err := c.wantedAlgo()
	if err != nil {
		return err
	}
	src, err := c.openSource()
	if err != nil {
		return err
	}
	meta, err := c.copyMeta(src, src.bucket == bucket.ID && src.key == key && !src.version.Named)
	if err != nil {
		src.Close()
		return err
	}
	if algo == 0 && len(src.info.Checksums) > 0 {
		algo = src.info.Checksums[0].Algo
	}
	return c.patiently(func(ctx context.Context) (document, error) {
		defer src.Close()
		body, err := src.read(ctx, object.Range{End: src.info.Size}, algo)
		if err != nil {
			return document{}, err
		}
		v, err := c.srv.opts.Objects.Put(ctx, &erasureset.PutRequest{
			Bucket: bucket, Key: key, Body: body, Size: src.info.Size, Meta: meta, If: cond,
			Finish: func(v *erasureset.Info) error {
				v.Checksums = body.checksums()
				return nil
			},
		})
		if err != nil {
			return document{}, c.absent(err, key, object.VersionID{})
		}
		doc := s3xml.CopyResult{ETag: v.ETag, LastModified: v.ModTime}
		doc.Checksums, doc.ChecksumType = shownSums(v.Checksums, int(v.Parts))
		return document{doc.AppendXML(nil), writtenID(&bucket, v)}, nil
	})
}

// wantedAlgo reads x-amz-checksum-algorithm.
func (c *call) wantedAlgo() (ondisk.ChecksumAlgo, error) {
	name := c.req.get("x-amz-checksum-algorithm")
	if name == "" {
		return 0, nil
	}
	algo, ok := checksum.Parse(name)
	if !ok {
		return 0, s3err.InvalidRequest.Msg("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	return algo, nil
}

// copyMeta is the metadata of the destination: the source's, or with REPLACE the request's.
func (c *call) copyMeta(src *source, self bool) (erasureset.Info, error) {
	meta, err := c.metadata()
	if err != nil {
		return meta, err
	}
	if src.info.Size > c.srv.limits.MaxPut {
		return meta, s3err.InvalidRequest.Msg("The specified copy source is larger than the maximum allowable size for a copy source: %d", c.srv.limits.MaxPut)
	}
	replace := false
	switch d := c.req.get("x-amz-metadata-directive"); d {
	case "", "COPY":
	case "REPLACE":
		replace = true
	default:
		return meta, s3err.InvalidArgument.Msg("Unknown metadata directive.").
			With("ArgumentName", "x-amz-metadata-directive").With("ArgumentValue", d)
	}
	switch d := c.req.get("x-amz-tagging-directive"); d {
	case "", "COPY", "REPLACE":
	default:
		return meta, s3err.InvalidArgument.Msg("Unknown tagging directive.").
			With("ArgumentName", "x-amz-tagging-directive").With("ArgumentValue", d)
	}
	class := c.req.has("x-amz-storage-class")
	if self && !replace && !class && meta.Website == "" {
		return meta, s3err.InvalidCopyToItself
	}
	if replace {
		return meta, nil
	}
	out := *src.info
	out.Owner, out.StorageClass, out.Website = meta.Owner, meta.StorageClass, meta.Website
	return out, nil
}

// source is the object that a copy reads.
type source struct {
	bucket  cluster.BucketID
	key     string
	version object.VersionID
	info    *erasureset.Info
	h       erasureset.Handle
	body    *copyBody
}

// Close gives back what the source holds.
func (s *source) Close() {
	if s.body != nil {
		s.body.stream.Close()
	}
	s.h.Close()
}

// openSource finds the object that x-amz-copy-source names, judging the conditions on it.
func (c *call) openSource() (*source, error) {
	name, key, id, err := parseCopySource(c.req.get("x-amz-copy-source"))
	if err != nil {
		return nil, err
	}
	bucket, err := c.bucketOf(name, "x-amz-source-expected-bucket-owner")
	if err != nil {
		return nil, err
	}
	// The principal was let through for writing the destination; reading the source is its own action.
	if err := c.srv.authorize(&c.who, &c.srv.routes.getObject); err != nil {
		return nil, err
	}
	const prefix = "x-amz-copy-source-"
	if err := notBlank(&c.req, prefix+"if-match", prefix+"if-none-match", prefix+"if-modified-since", prefix+"if-unmodified-since"); err != nil {
		return nil, err // a copy writes
	}
	cond := conditionsOf(&c.req, prefix)
	req := erasureset.OpenRequest{Bucket: bucket, Key: key, Version: id}
	if cond.any {
		req.If = func(v *erasureset.Info) error {
			if v == nil {
				return nil
			}
			return cond.forCopySource(v)
		}
	}
	h, err := c.srv.opts.Objects.Open(c.ctx, &req)
	if err != nil {
		return nil, c.noSource(err, key, id)
	}
	if bucket.Versioning != "" || id.Named {
		c.header("x-amz-copy-source-version-id", shownID(&bucket, h.Info()))
	}
	return &source{bucket: bucket.ID, key: key, version: id, info: h.Info(), h: h}, nil
}

// noSource is absent for the source of a copy: a delete marker cannot be copied, whoever names it.
func (c *call) noSource(err error, key string, id object.VersionID) error {
	var marker *erasureset.MarkerError
	if id.Named && errors.As(err, &marker) {
		return s3err.InvalidRequest.Msg("The source of a copy request may not specifically refer to a delete marker by version id.").Because(err)
	}
	e := c.srv.errs.find(err)
	switch e.Code {
	case s3err.NoSuchKey:
		return e.With("Key", key)
	case s3err.NoSuchVersion:
		return e.With("Key", key).With("VersionId", id.String())
	}
	return e
}

// parseCopySource reads "[/]bucket/key[?versionId=..]", URL-encoded once.
func parseCopySource(header string) (bucket, key string, id object.VersionID, err error) {
	refused := s3err.InvalidCopySource.With("ArgumentName", "x-amz-copy-source").With("ArgumentValue", header)
	raw, query, versioned := strings.Cut(header, "?")
	path, err := sigv4.DecodePath("/" + strings.TrimPrefix(raw, "/"))
	if err != nil {
		return "", "", id, refused
	}
	bucket, key, found := strings.Cut(path[1:], "/")
	if !found || bucket == "" || key == "" {
		return "", "", id, refused
	}
	if err := checkKey(key); err != nil {
		return "", "", id, err
	}
	if versioned {
		version, ok := strings.CutPrefix(query, "versionId=")
		if !ok || strings.Contains(version, "&") {
			return "", "", id, refused // also a "?" of the key that was not encoded: it would name another object
		}
		id, err = parseVersion(version, true)
	}
	return bucket, key, id, err
}

// read opens the bytes of r. algo is the additional checksum to compute on the way, 0 for none.
func (s *source) read(ctx context.Context, r object.Range, algo ondisk.ChecksumAlgo) (*copyBody, error) {
	b := &copyBody{left: r.Len()}
	if algo != 0 {
		b.sum = computedSum(algo)
	}
	b.stream = noStream{}
	if r.Len() > 0 {
		stream, err := s.h.Read(ctx, r)
		if err != nil {
			return nil, err
		}
		b.stream = stream
	}
	s.body = b
	return b, nil
}

// noStream is the stream of no bytes.
type noStream struct{}

func (noStream) Read([]byte) (int, error)         { return 0, io.EOF }
func (noStream) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (noStream) Close() error                     { return nil }

// copyBody is the body of a copy: a stream of known length that must not end early.
type copyBody struct {
	stream erasureset.Stream
	left   int64
	sum    bodySum
}

func (b *copyBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.stream.Read(p[:min(int64(len(p)), b.left)])
	b.sum.write(p[:n])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, object.ErrDamaged // a source shorter than its row says
	}
	return n, err
}

// checksums returns the checksum computed, if one was asked for.
func (b *copyBody) checksums() []ondisk.Checksum {
	if b.sum.hash == nil {
		return nil
	}
	return []ondisk.Checksum{{Algo: b.sum.want.Algo, Value: b.sum.hash.Sum(nil)}}
}

// whileConnected returns a context that ends when the client goes away. fasthttp cannot tell, and
// a copy reads nothing from the connection that would show it.
func (c *call) whileConnected() (context.Context, func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	t := transport(c.rc.Conn())
	if t == nil {
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(goneEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if t.gone() {
					cancel()
					return
				}
			}
		}
	}()
	return ctx, func() { cancel(); <-done }
}

// uploadPartCopy serves UploadPartCopy.
func uploadPartCopy(c *call) error {
	bucket, key, err := c.object()
	if err != nil {
		return err
	}
	id, number, err := c.partAddress()
	if err != nil {
		return err
	}
	up, _, err := c.srv.opts.Objects.Upload(c.ctx, bucket, key, id)
	if err != nil {
		return err
	}
	src, err := c.openSource()
	if err != nil {
		return err
	}
	r, err := c.copyRange(src.info.Size)
	if err != nil {
		src.Close()
		return err
	}
	algo := up.Checksum
	return c.patiently(func(ctx context.Context) (document, error) {
		defer src.Close()
		body, err := src.read(ctx, r, algo)
		if err != nil {
			return document{}, err
		}
		part, err := c.srv.opts.Objects.PutPart(ctx, &erasureset.PartRequest{
			Bucket: bucket, Key: key, Upload: id, Number: number, Body: body, Size: r.Len(),
			Finish: func(_ *ondisk.Upload, p *ondisk.Part) error {
				p.Checksums = body.checksums()
				return nil
			},
		})
		if err != nil {
			return document{}, err
		}
		doc := s3xml.CopyResult{Part: true, ETag: part.ETag, LastModified: part.ModTime}
		doc.Checksums, _ = shownSums(part.Checksums, 0)
		return document{body: doc.AppendXML(nil)}, nil
	})
}

// copyRange is the range of a source of the given size that a part is copied from.
func (c *call) copyRange(size int64) (r object.Range, err error) {
	r.End = size
	if header := c.req.get("x-amz-copy-source-range"); header != "" {
		if r, err = parseCopyRange(header, size); err != nil {
			return r, err
		}
	}
	if r.Len() > c.srv.limits.MaxPut {
		return r, s3err.EntityTooLarge.With("ProposedSize", strconv.FormatInt(r.Len(), 10)).
			With("MaxSizeAllowed", strconv.FormatInt(c.srv.limits.MaxPut, 10))
	}
	return r, nil
}
