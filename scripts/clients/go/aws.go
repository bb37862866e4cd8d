package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

type awsWalk struct {
	c      *s3.Client
	bucket *string
}

func awsJourney(ctx context.Context, s server) error {
	c := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + s.endpoint), UsePathStyle: true, Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(s.accessKey, s.secretKey, ""),
	})
	w := awsWalk{c: c, bucket: aws.String("aws-sdk-go")}
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: w.bucket}); err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	for _, step := range []func(context.Context) error{w.sizes, w.names, w.listing, w.checksums, w.attributes, w.conditional, w.errorsAreTyped, w.empty} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w awsWalk) get(ctx context.Context, key string, want []byte) error {
	o, err := w.c.GetObject(ctx, &s3.GetObjectInput{Bucket: w.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return fmt.Errorf("get %q: %w", key, err)
	}
	defer o.Body.Close()
	got, err := io.ReadAll(o.Body)
	if err != nil {
		return fmt.Errorf("get %q: %w", key, err)
	}
	return same(key, got, want)
}

// sizes goes through the transfer manager, which uploads large bodies in parts.
func (w awsWalk) sizes(ctx context.Context) error {
	up := manager.NewUploader(w.c)
	for name, size := range sizes {
		want := content(size, 1)
		_, err := up.Upload(ctx, &s3.PutObjectInput{Bucket: w.bucket, Key: aws.String("size/" + name), Body: bytes.NewReader(want),
			Metadata: map[string]string{"colour": "blue"}})
		if err != nil {
			return fmt.Errorf("upload %s: %w", name, err)
		}
		if err := w.get(ctx, "size/"+name, want); err != nil {
			return err
		}
		buf := manager.NewWriteAtBuffer(nil)
		if _, err := manager.NewDownloader(w.c).Download(ctx, buf, &s3.GetObjectInput{Bucket: w.bucket, Key: aws.String("size/" + name)}); err != nil && size > 0 {
			return fmt.Errorf("download %s: %w", name, err)
		}
		if err := same("download "+name, buf.Bytes(), want); err != nil {
			return err
		}
		head, err := w.c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: w.bucket, Key: aws.String("size/" + name)})
		if err != nil {
			return fmt.Errorf("head %s: %w", name, err)
		}
		if *head.ContentLength != int64(size) || head.Metadata["colour"] != "blue" {
			return fmt.Errorf("head %s: length %d, metadata %v", name, *head.ContentLength, head.Metadata)
		}
	}
	return nil
}

func (w awsWalk) names(ctx context.Context) error {
	for i, name := range names() {
		want := content(100+i, 3)
		if _, err := w.c.PutObject(ctx, &s3.PutObjectInput{Bucket: w.bucket, Key: &name, Body: bytes.NewReader(want)}); err != nil {
			return fmt.Errorf("put %q: %w", name, err)
		}
		if err := w.get(ctx, name, want); err != nil {
			return err
		}
	}
	return nil
}

func (w awsWalk) keys(ctx context.Context, in *s3.ListObjectsV2Input) (keys []string, prefixes []string, err error) {
	in.Bucket = w.bucket
	for p := s3.NewListObjectsV2Paginator(w.c, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("list: %w", err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
		for _, c := range page.CommonPrefixes {
			prefixes = append(prefixes, *c.Prefix)
		}
	}
	return keys, prefixes, nil
}

func (w awsWalk) listing(ctx context.Context) error {
	want := names()
	for name := range sizes {
		want = append(want, "size/"+name)
	}
	slices.Sort(want)
	got, _, err := w.keys(ctx, &s3.ListObjectsV2Input{MaxKeys: aws.Int32(5)})
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("list: got %q\nwant %q", got, want)
	}
	_, prefixes, err := w.keys(ctx, &s3.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)})
	if err != nil {
		return err
	}
	if want := []string{"/", "dots/", "double/", "size/", "trailing/", "ünïcödé/"}; !slices.Equal(prefixes, want) {
		return fmt.Errorf("common prefixes: got %q, want %q", prefixes, want)
	}
	return nil
}

func (w awsWalk) checksums(ctx context.Context) error {
	want := content(100_000, 5)
	for _, alg := range types.ChecksumAlgorithm("").Values() {
		switch alg {
		case types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme,
			types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256:
		default:
			continue // newer algorithms are beyond the five that S3 has had for years
		}
		key := "checksum/" + string(alg)
		if _, err := w.c.PutObject(ctx, &s3.PutObjectInput{Bucket: w.bucket, Key: &key, Body: bytes.NewReader(want), ChecksumAlgorithm: alg}); err != nil {
			return fmt.Errorf("put with %s: %w", alg, err)
		}
		if err := w.get(ctx, key, want); err != nil {
			return err
		}
	}
	_, err := w.c.PutObject(ctx, &s3.PutObjectInput{Bucket: w.bucket, Key: aws.String("checksum/wrong"), Body: bytes.NewReader(want),
		ChecksumSHA256: aws.String("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "BadDigest" {
		return fmt.Errorf("put with a wrong SHA-256: %v", err)
	}
	return nil
}

func (w awsWalk) attributes(ctx context.Context) error {
	a, err := w.c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: w.bucket, Key: aws.String("size/seventy-mib"),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize, types.ObjectAttributesObjectParts, types.ObjectAttributesEtag}})
	if err != nil {
		return fmt.Errorf("attributes: %w", err)
	}
	if a.ObjectSize == nil || *a.ObjectSize != 70<<20 || a.ObjectParts == nil || aws.ToInt32(a.ObjectParts.TotalPartsCount) != 14 {
		return fmt.Errorf("attributes: size %v, parts %+v", a.ObjectSize, a.ObjectParts)
	}
	return nil
}

func (w awsWalk) conditional(ctx context.Context) error {
	var api smithy.APIError
	_, err := w.c.PutObject(ctx, &s3.PutObjectInput{Bucket: w.bucket, Key: aws.String("size/one"), IfNoneMatch: aws.String("*")})
	if !errors.As(err, &api) || api.ErrorCode() != "PreconditionFailed" {
		return fmt.Errorf("put over an object with If-None-Match *: %v", err)
	}
	head, err := w.c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: w.bucket, Key: aws.String("size/one")})
	if err != nil {
		return err
	}
	_, err = w.c.PutObject(ctx, &s3.PutObjectInput{Bucket: w.bucket, Key: aws.String("size/one"), IfMatch: head.ETag, Body: bytes.NewReader([]byte("new"))})
	if err != nil {
		return fmt.Errorf("put with If-Match: %w", err)
	}
	return w.get(ctx, "size/one", []byte("new"))
}

func (w awsWalk) errorsAreTyped(ctx context.Context) error {
	_, err := w.c.GetObject(ctx, &s3.GetObjectInput{Bucket: w.bucket, Key: aws.String("not there")})
	if e := (*types.NoSuchKey)(nil); !errors.As(err, &e) {
		return fmt.Errorf("get of a missing key: %v", err)
	}
	_, err = w.c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("no-such-bucket")})
	if e := (*types.NoSuchBucket)(nil); !errors.As(err, &e) {
		return fmt.Errorf("list of a missing bucket: %v", err)
	}
	return nil
}

func (w awsWalk) empty(ctx context.Context) error {
	keys, _, err := w.keys(ctx, &s3.ListObjectsV2Input{})
	if err != nil {
		return err
	}
	var ids []types.ObjectIdentifier
	for _, k := range keys {
		ids = append(ids, types.ObjectIdentifier{Key: &k})
	}
	out, err := w.c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: w.bucket, Delete: &types.Delete{Objects: ids}})
	if err != nil {
		return fmt.Errorf("delete objects: %w", err)
	}
	if len(out.Deleted) != len(keys) || len(out.Errors) > 0 {
		return fmt.Errorf("delete objects: %d of %d deleted, errors %v", len(out.Deleted), len(keys), out.Errors)
	}
	_, err = w.c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: w.bucket})
	return err
}
