package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

type minioWalk struct {
	c      *minio.Client
	bucket string
}

func minioJourney(ctx context.Context, s server) error {
	c, err := minio.New(s.endpoint, &minio.Options{Creds: credentials.NewStaticV4(s.accessKey, s.secretKey, ""), Region: "us-east-1", TrailingHeaders: true})
	if err != nil {
		return err
	}
	w := minioWalk{c: c, bucket: "minio-go"}
	if err := c.MakeBucket(ctx, w.bucket, minio.MakeBucketOptions{}); err != nil {
		return fmt.Errorf("make bucket: %w", err)
	}
	for _, step := range []func(context.Context) error{w.sizes, w.names, w.listing, w.ranges, w.copies, w.presigned, w.conditional, w.empty} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w minioWalk) get(ctx context.Context, key string, want []byte) error {
	o, err := w.c.GetObject(ctx, w.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return fmt.Errorf("get %q: %w", key, err)
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err != nil {
		return fmt.Errorf("get %q: %w", key, err)
	}
	return same(key, got, want)
}

// sizes also covers user metadata, content type, and a stream of unknown length (multipart).
func (w minioWalk) sizes(ctx context.Context) error {
	for name, size := range sizes {
		want := content(size, 1)
		opts := minio.PutObjectOptions{ContentType: "text/x-journey", UserMetadata: map[string]string{"Colour": "blue"}}
		if _, err := w.c.PutObject(ctx, w.bucket, "size/"+name, bytes.NewReader(want), int64(size), opts); err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		if err := w.get(ctx, "size/"+name, want); err != nil {
			return err
		}
		st, err := w.c.StatObject(ctx, w.bucket, "size/"+name, minio.StatObjectOptions{})
		if err != nil {
			return fmt.Errorf("stat %s: %w", name, err)
		}
		if st.Size != int64(size) || st.ContentType != "text/x-journey" || st.UserMetadata["Colour"] != "blue" {
			return fmt.Errorf("stat %s: %+v", name, st)
		}
	}
	want := content(70<<20, 2)
	opts := minio.PutObjectOptions{PartSize: 16 << 20, Checksum: minio.ChecksumCRC32C}
	if _, err := w.c.PutObject(ctx, w.bucket, "size/stream", bytes.NewReader(want), -1, opts); err != nil {
		return fmt.Errorf("put stream: %w", err)
	}
	return w.get(ctx, "size/stream", want)
}

func (w minioWalk) names(ctx context.Context) error {
	for i, name := range names() {
		want := content(100+i, 3)
		if _, err := w.c.PutObject(ctx, w.bucket, name, bytes.NewReader(want), int64(len(want)), minio.PutObjectOptions{}); err != nil {
			return fmt.Errorf("put %q: %w", name, err)
		}
		if err := w.get(ctx, name, want); err != nil {
			return err
		}
	}
	return nil
}

func (w minioWalk) listing(ctx context.Context) error {
	var want, got []string
	for name := range sizes {
		want = append(want, "size/"+name)
	}
	want = append(append(want, "size/stream"), names()...)
	slices.Sort(want)
	for o := range w.c.ListObjects(ctx, w.bucket, minio.ListObjectsOptions{Recursive: true, MaxKeys: 7}) {
		if o.Err != nil {
			return fmt.Errorf("list: %w", o.Err)
		}
		got = append(got, o.Key)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("list: got %q\nwant %q", got, want)
	}
	return nil
}

func (w minioWalk) ranges(ctx context.Context) error {
	want := content(70<<20, 1)
	o, err := w.c.GetObject(ctx, w.bucket, "size/seventy-mib", minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer o.Close()
	for _, at := range []int64{0, 1, 65535, 5<<20 - 1, 33 << 20, 70<<20 - 10} {
		b := make([]byte, 10)
		if _, err := o.ReadAt(b, at); err != nil && err != io.EOF {
			return fmt.Errorf("read at %d: %w", at, err)
		}
		if err := same(fmt.Sprint("range at ", at), b, want[at:at+10]); err != nil {
			return err
		}
	}
	return nil
}

func (w minioWalk) copies(ctx context.Context) error {
	src := minio.CopySrcOptions{Bucket: w.bucket, Object: "emoji-😀"}
	if _, err := w.c.CopyObject(ctx, minio.CopyDestOptions{Bucket: w.bucket, Object: "copy of 😀"}, src); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if err := w.get(ctx, "copy of 😀", content(100+4, 3)); err != nil {
		return err
	}
	parts := []minio.CopySrcOptions{{Bucket: w.bucket, Object: "size/five-mib"}, {Bucket: w.bucket, Object: "size/one"}}
	if _, err := w.c.ComposeObject(ctx, minio.CopyDestOptions{Bucket: w.bucket, Object: "composed"}, parts...); err != nil {
		return fmt.Errorf("compose: %w", err)
	}
	return w.get(ctx, "composed", append(content(5<<20, 1), content(1, 1)...))
}

func (w minioWalk) presigned(ctx context.Context) error {
	u, err := w.c.PresignedPutObject(ctx, w.bucket, "presigned +", time.Minute)
	if err != nil {
		return err
	}
	want := content(3000, 4)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), bytes.NewReader(want))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("presigned put: %s", resp.Status)
	}
	if u, err = w.c.PresignedGetObject(ctx, w.bucket, "presigned +", time.Minute, nil); err != nil {
		return err
	}
	if resp, err = http.Get(u.String()); err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return same("presigned", got, want)
}

func (w minioWalk) conditional(ctx context.Context) error {
	opts := minio.PutObjectOptions{}
	opts.SetMatchETagExcept("*")
	_, err := w.c.PutObject(ctx, w.bucket, "size/one", bytes.NewReader(nil), 0, opts)
	if code := minio.ToErrorResponse(err).Code; code != "PreconditionFailed" {
		return fmt.Errorf("put over an object with If-None-Match *: %v", err)
	}
	_, err = w.c.StatObject(ctx, w.bucket, "not there", minio.StatObjectOptions{})
	if code := minio.ToErrorResponse(err).Code; code != "NoSuchKey" {
		return fmt.Errorf("stat of a missing key: %v", err)
	}
	return nil
}

// empty removes everything with DeleteObjects and then the bucket.
func (w minioWalk) empty(ctx context.Context) error {
	objects := w.c.ListObjects(ctx, w.bucket, minio.ListObjectsOptions{Recursive: true})
	for e := range w.c.RemoveObjects(ctx, w.bucket, objects, minio.RemoveObjectsOptions{}) {
		return fmt.Errorf("remove %q: %w", e.ObjectName, e.Err)
	}
	if err := w.c.RemoveBucket(ctx, w.bucket); err != nil {
		return fmt.Errorf("remove bucket: %w", err)
	}
	ok, err := w.c.BucketExists(ctx, w.bucket)
	if err != nil || ok {
		return fmt.Errorf("bucket after its removal: exists %v, %v", ok, err)
	}
	return nil
}
