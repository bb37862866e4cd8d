package checksum

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"holdfast/actors/ondisk"
	"holdfast/s3api/s3err"
)

// The check values of the CRC catalogue and of FIPS 180 for "123456789" and "abc".
func TestKnownValues(t *testing.T) {
	for _, tc := range []struct {
		algo       ondisk.ChecksumAlgo
		data, want string
	}{
		{ondisk.ChecksumCRC32, "123456789", "cbf43926"},
		{ondisk.ChecksumCRC32C, "123456789", "e3069283"},
		{ondisk.ChecksumCRC64NVME, "123456789", "ae8b14860a799888"},
		{ondisk.ChecksumSHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{ondisk.ChecksumSHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	} {
		h := New(tc.algo)
		h.Write([]byte(tc.data))
		if got := hex.EncodeToString(h.Sum(nil)); got != tc.want {
			t.Errorf("%s: %s, want %s", Name(tc.algo), got, tc.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, a := range Algorithms() {
		if got, ok := Parse(Name(a)); !ok || got != a {
			t.Errorf("Parse(%s) = %v", Name(a), got)
		}
		if got, ok := ParseHeader(Header(a)); !ok || got != a {
			t.Errorf("ParseHeader(%s) = %v", Header(a), got)
		}
		if New(a).Size() != Size(a) {
			t.Errorf("%s: size %d", Name(a), Size(a))
		}
	}
	if Name(0) != "" || Name(200) != "" || Allowed(200, true) || Allowed(0, false) {
		t.Error("an unknown algorithm has a name")
	}
	if _, ok := Parse("MD5"); ok {
		t.Error("MD5 parses")
	}
}

func TestFormatAndDecode(t *testing.T) {
	for _, a := range Algorithms() {
		v := make([]byte, Size(a))
		for i := range v {
			v[i] = byte(250 + i)
		}
		for _, composite := range []bool{false, true} {
			s := Format(ondisk.Checksum{Algo: a, Composite: composite, Value: v}, 12)
			got, parts, err := DecodeObject(a, s)
			if err != nil || !bytes.Equal(got, v) || (parts == 12) != composite {
				t.Errorf("%s %v: %q: %x %d %v", Name(a), composite, s, got, parts, err)
			}
		}
	}
	for _, s := range []string{"", "AAAA", "AAAAAA", "AAAAAA=", "AAAAAB==", "AAAAAA==\n", " AAAAAA==", "AAAAAA==-0", "AAAAAA==-", "AAAAAA==--1", "AAAAAA==-01", "AAAAAA==-+1"} {
		if _, _, err := DecodeObject(ondisk.ChecksumCRC32, s); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestFullObjectOfParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, a := range Algorithms() {
		if !Allowed(a, false) {
			continue
		}
		for round := range 50 {
			whole, c := New(a), NewCombiner(a, false)
			for range rng.IntN(8) {
				part := make([]byte, rng.IntN(5000)*(round%3))
				for i := range part {
					part[i] = byte(rng.Uint32())
				}
				whole.Write(part)
				h := New(a)
				h.Write(part)
				if !c.Add(h.Sum(nil), int64(len(part))) {
					t.Fatal("Add refuses")
				}
			}
			if got := c.Checksum(); !bytes.Equal(got.Value, whole.Sum(nil)) || got.Composite {
				t.Fatalf("%s: %x, want %x", Name(a), got.Value, whole.Sum(nil))
			}
		}
	}
}

// Lengths beyond what a test can hash: combining is associative, so both ways must agree.
func TestCombineIsAssociativeForHugeParts(t *testing.T) {
	const huge = 5 << 40
	for _, p := range []struct {
		poly  uint64
		width uint
	}{{polyCRC32, 32}, {polyCRC32C, 32}, {polyCRC64NVME, 64}} {
		a, b, c := uint64(0x12345678), uint64(0x9abcdef0), uint64(0x0fedcba9)
		combine := func(a, b uint64, length int64) uint64 {
			c := Combiner{crc: a}
			c.addCRC(b, length, p.poly, p.width)
			return c.crc
		}
		left := combine(combine(a, b, huge), c, huge+1)
		right := combine(a, combine(b, c, huge+1), 2*huge+1)
		if left != right {
			t.Errorf("%x: %x and %x", p.poly, left, right)
		}
	}
}

func TestCompositeOfParts(t *testing.T) {
	for _, a := range Algorithms() {
		if !Allowed(a, true) {
			continue
		}
		outer, c := New(a), NewCombiner(a, true)
		for _, part := range []string{"one", "", "three"} {
			h := New(a)
			h.Write([]byte(part))
			outer.Write(h.Sum(nil))
			c.Add(h.Sum(nil), int64(len(part)))
		}
		if got := c.Checksum(); !bytes.Equal(got.Value, outer.Sum(nil)) || !got.Composite || c.Parts() != 3 {
			t.Errorf("%s: %x", Name(a), got.Value)
		}
		if c.Add([]byte{1}, 1) {
			t.Error("a value of the wrong length is taken")
		}
	}
}

func TestFromRequest(t *testing.T) {
	const crc = "AAAAAA=="
	for _, tc := range []struct {
		name     string
		headers  map[string]string
		trailers []string
		algo     ondisk.ChecksumAlgo
		value    bool
		bad      s3err.Code
	}{
		{name: "nothing"},
		{name: "header", headers: map[string]string{"x-amz-checksum-crc32": crc}, algo: ondisk.ChecksumCRC32, value: true},
		{name: "header and algorithm", headers: map[string]string{"x-amz-checksum-crc32": crc, "x-amz-sdk-checksum-algorithm": "crc32"}, algo: ondisk.ChecksumCRC32, value: true},
		{name: "trailer", trailers: []string{"x-amz-checksum-sha256"}, headers: map[string]string{"x-amz-sdk-checksum-algorithm": "SHA256"}, algo: ondisk.ChecksumSHA256},
		{name: "two headers", headers: map[string]string{"x-amz-checksum-crc32": crc, "x-amz-checksum-crc32c": crc}, bad: s3err.InvalidRequest},
		{name: "header and trailer", headers: map[string]string{"x-amz-checksum-crc32": crc}, trailers: []string{"x-amz-checksum-crc32"}, bad: s3err.InvalidRequest},
		{name: "two trailers", trailers: []string{"x-amz-checksum-crc32", "x-amz-checksum-sha1"}, bad: s3err.InvalidRequest},
		{name: "trailer that is no checksum", trailers: []string{"x-amz-checksum-type"}, bad: s3err.InvalidRequest},
		{name: "unknown trailer", trailers: []string{"x-amz-checksum-sha512"}, bad: s3err.InvalidRequest},
		{name: "bad value", headers: map[string]string{"x-amz-checksum-crc32": "x"}, bad: s3err.BadDigest},
		{name: "algorithm alone", headers: map[string]string{"x-amz-sdk-checksum-algorithm": "CRC32"}, bad: s3err.InvalidRequest},
		{name: "another algorithm", headers: map[string]string{"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": crc}, bad: s3err.InvalidRequest},
		{name: "unknown algorithm", headers: map[string]string{"x-amz-sdk-checksum-algorithm": "MD5"}, bad: s3err.InvalidRequest},
	} {
		e, err := FromRequest(func(n string) (string, bool) { v, ok := tc.headers[n]; return v, ok }, tc.trailers)
		if tc.bad != 0 {
			if !errors.Is(err, tc.bad) {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err != nil || e.Algo != tc.algo || (e.Value != nil) != tc.value {
			t.Errorf("%s: %+v %v", tc.name, e, err)
		}
	}
}

func TestKnown(t *testing.T) {
	for _, name := range []string{"x-amz-checksum-crc32", "x-amz-checksum-crc64nvme", "x-amz-checksum-type", "x-amz-checksum-mode", "x-amz-checksum-algorithm", "content-md5"} {
		if err := Known(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"x-amz-checksum-sha512", "x-amz-checksum-xxhash64", "x-amz-checksum-"} {
		if err := Known(name); !errors.Is(err, s3err.InvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpectedCheck(t *testing.T) {
	sum := crc32.NewIEEE().Sum(nil)
	e := Expected{Algo: ondisk.ChecksumCRC32}
	if err := e.FromTrailer("", false); !errors.Is(err, s3err.MalformedTrailerError) {
		t.Error(err)
	}
	if err := e.FromTrailer("x", true); !errors.Is(err, s3err.BadDigest) {
		t.Error(err)
	}
	if err := e.FromTrailer("AAAAAA==", true); err != nil || e.Check(sum) != nil {
		t.Error(err, e.Check(sum))
	}
	if err := e.Check([]byte{1, 2, 3, 4}); !errors.Is(err, s3err.BadDigest) {
		t.Error(err)
	}
	if none := (Expected{}); none.Check(sum) != nil || none.FromTrailer("", false) != nil {
		t.Error("nothing expected, yet refused")
	}
}

func FuzzDecodeObject(f *testing.F) {
	f.Add(uint8(1), "AAAAAA==")
	f.Add(uint8(1), "AAAAAA==-3")
	f.Add(uint8(5), "rosUhgp5mIg=")
	f.Fuzz(func(t *testing.T, a uint8, s string) {
		algo := ondisk.ChecksumAlgo(a)
		v, parts, err := DecodeObject(algo, s)
		if err != nil {
			return
		}
		if got := Format(ondisk.Checksum{Algo: algo, Composite: parts > 0, Value: v}, parts); got != s {
			t.Fatalf("%q is read but written as %q", s, got)
		}
	})
}

func BenchmarkCombine(b *testing.B) {
	v := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	c := NewCombiner(ondisk.ChecksumCRC64NVME, false)
	for b.Loop() {
		c.Add(v, 5<<30)
	}
}
