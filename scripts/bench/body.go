package main

import (
	"crypto/md5" // an ETag of S3 is an MD5
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"holdfast/scripts/s3light"
)

// variants is how many different bodies of one size there are. They are windows of one random buffer,
// one page apart, so that sixteen 64 MiB bodies take 65 MiB.
const (
	variants    = 16
	variantStep = 4 << 10
)

// How bodies are signed: by their SHA-256 in the head, in signed chunks as SDKs do over plain HTTP, or not.
const (
	payloadSigned    = "signed"
	payloadStreaming = "streaming"
	payloadUnsigned  = "unsigned"
)

// body is a payload with everything that a request or a check needs precomputed.
type body struct {
	data   []byte
	hash   string          // x-amz-content-sha256
	etag   string          // MD5, hex
	stream *s3light.Stream // with --payload streaming
}

// bodies makes the payloads of one size. They follow from the size alone, so that the ceiling server
// and a later run know them too.
func bodies(size int, payload string) []body {
	base := make([]byte, size+(variants-1)*variantStep)
	fill(base, uint64(size))
	n := variants
	if size >= 1<<20 {
		n = 4 // hashing sixteen 64 MiB bodies would take longer than the measurement
	}
	out := make([]body, n)
	for i := range out {
		b := base[i*variantStep:][:size:size]
		out[i] = body{data: b, hash: s3light.UnsignedPayload}
		switch payload {
		case payloadSigned:
			out[i].hash = s3light.HashPayload(b)
		case payloadStreaming:
			out[i].stream = s3light.NewStream(b)
		}
		sum := md5.Sum(b)
		out[i].etag = hex.EncodeToString(sum[:])
	}
	return out
}

// put is the request that writes b.
func (b *body) put(bucket, key string) s3light.Request {
	return s3light.Request{Method: "PUT", Bucket: bucket, Key: key, Body: b.data, PayloadHash: b.hash, Stream: b.stream}
}

// fill writes incompressible bytes.
func fill(b []byte, seed uint64) {
	r := rand.NewPCG(seed, 0x9e3779b97f4a7c15)
	for len(b) >= 8 {
		v := r.Uint64()
		b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
		b[4], b[5], b[6], b[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
		b = b[8:]
	}
	for i := range b {
		b[i] = byte(r.Uint64())
	}
}

// A key names its size and variant: "<size>/<work>-<worker>-<number>.<variant>". So a reader knows what
// must come back, and the ceiling server can answer without a store.
func keyName(prefix string, worker, number, variant int) string {
	b := make([]byte, 0, len(prefix)+24)
	b = append(b, prefix...)
	b = strconv.AppendInt(b, int64(worker), 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(number), 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(variant), 10)
	return string(b)
}

func keyPrefix(size int, work string) string { return fmt.Sprintf("%d/%s-", size, work) }

func parseKey(key string) (size, variant int, ok bool) {
	first, rest, found := strings.Cut(key, "/")
	dot := strings.LastIndexByte(rest, '.')
	if !found || dot < 0 {
		return 0, 0, false
	}
	size, err1 := strconv.Atoi(first)
	variant, err2 := strconv.Atoi(rest[dot+1:])
	return size, variant, err1 == nil && err2 == nil && variant >= 0 && variant < variants
}
