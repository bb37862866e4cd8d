package s3light

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strconv"
)

// streamPayload says that the body comes as aws-chunked, each chunk signed: what SDKs send over plain HTTP.
const streamPayload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

// StreamChunk is the size of a chunk, as SDKs choose it.
const StreamChunk = 64 << 10

// Stream is a body that is sent in signed chunks. The chunks are hashed once, when it is made, so that
// sending it costs one HMAC for each chunk.
type Stream struct {
	data   []byte
	hashes [][64]byte // hex SHA-256 of each chunk; the last is that of nothing
	length int64      // on the wire
}

// NewStream hashes the chunks of data, which must not change any more.
func NewStream(data []byte) *Stream {
	s := &Stream{data: data}
	for rest := data; ; {
		c := rest[:min(len(rest), StreamChunk)]
		rest = rest[len(c):]
		sum := sha256.Sum256(c)
		var h [64]byte
		hex.Encode(h[:], sum[:])
		s.hashes = append(s.hashes, h)
		s.length += int64(len(strconv.FormatInt(int64(len(c)), 16))) + int64(len(chunkExtension)) + 64 + 2 + int64(len(c)) + 2
		if len(c) == 0 {
			return s
		}
	}
}

const (
	chunkExtension = ";chunk-signature="
	chunkMessage   = "AWS4-HMAC-SHA256-PAYLOAD\n"
)

// sendStream sends the head and all chunks from their own memory.
func (c *Conn) sendStream(s *Stream) error {
	sign := &c.sign
	previous := sign.seed
	heads := c.chunks[:0]
	var ends []int // where each chunk's head ends in heads
	for i := range s.hashes {
		size := max(0, min(len(s.data)-i*StreamChunk, StreamChunk))
		m := append(sign.canon[:0], chunkMessage...)
		m = append(m, sign.date...)
		m = append(m, '\n')
		m = append(m, sign.day...)
		m = append(m, '/')
		m = append(m, sign.cred.Region...)
		m = append(m, "/s3/aws4_request\n"...)
		m = append(m, previous[:]...)
		m = append(m, "\n"+emptySHA256+"\n"...)
		m = append(m, s.hashes[i][:]...)
		sign.canon = m
		sign.mac.Reset()
		sign.mac.Write(m)
		hex.Encode(previous[:], sign.mac.Sum(sign.sum[:0]))
		if i > 0 {
			heads = append(heads, "\r\n"...)
		}
		heads = strconv.AppendInt(heads, int64(size), 16)
		heads = append(heads, chunkExtension...)
		heads = append(heads, previous[:]...)
		heads = append(heads, "\r\n"...)
		ends = append(ends, len(heads))
	}
	heads = append(heads, "\r\n"...)
	c.chunks = heads

	bufs := make(net.Buffers, 0, 2*len(ends)+2)
	bufs = append(bufs, c.head)
	from := 0
	for i, end := range ends {
		bufs = append(bufs, heads[from:end])
		from = end
		if data := s.data[min(i*StreamChunk, len(s.data)):min((i+1)*StreamChunk, len(s.data))]; len(data) > 0 {
			bufs = append(bufs, data)
		}
	}
	bufs = append(bufs, heads[from:])
	if len(c.head)+int(s.length) <= joinLimit {
		for _, b := range bufs[1:] {
			c.head = append(c.head, b...)
		}
		_, err := c.nc.Write(c.head)
		return err
	}
	_, err := bufs.WriteTo(c.nc)
	return err
}
