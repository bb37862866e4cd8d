package ondisk

import (
	"bytes"
	"errors"
	"testing"

	"holdfast/actors/object"
)

func frameBuffer(data int) []byte {
	buf := make([]byte, FrameHeaderRoom+data)
	for i := range buf {
		buf[i] = byte(i*7 + i>>8) // header room too: it must not leak through
	}
	return buf
}

// TestPutFrame: for every shape of length, the frame that was put verifies whole and by blocks, and
// each damaged block is found.
func TestPutFrame(t *testing.T) {
	for _, run := range []bool{true, false} {
		for _, n := range []int{1, 2, BlockSize - 1, BlockSize, BlockSize + 1, 3 * BlockSize, MaxFrameData - 1, MaxFrameData} {
			buf := frameBuffer(n)
			in := FrameHeader{Run: run, Segment: 1, Generation: 2, OID: object.OID{3}, Write: object.WriteID{4}, Number: 5}
			start, err := PutFrame(buf, &in)
			if err != nil {
				t.Fatal(err)
			}
			var h FrameHeader
			if err := DecodeFrameHeader(&h, buf[start:]); err != nil || h != in {
				t.Fatalf("%d bytes: got %+v, %v, want %+v", n, h, err, in)
			}
			if size, err := FrameHeaderLen(buf[start:]); err != nil || size != h.Size() || start+size != FrameHeaderRoom || run && start != 0 {
				t.Fatalf("%d bytes: header of %d bytes at %d, %v", n, size, start, err)
			}
			data := buf[FrameHeaderRoom:]
			if err := h.VerifyData(data); err != nil {
				t.Fatal(err)
			}
			for i := range FrameBlocks(n) {
				block := data[i*BlockSize:][:h.BlockLen(i)]
				if err := h.VerifyBlock(i, block); err != nil {
					t.Fatal(err)
				}
				block[len(block)-1] ^= 1
				if err := h.VerifyBlock(i, block); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%d bytes: damage in block %d: %v", n, i, err)
				}
				if err := h.VerifyData(data); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%d bytes: damage in block %d: %v", n, i, err)
				}
				block[len(block)-1] ^= 1
			}
			for _, bad := range []struct {
				i int
				b []byte
			}{{-1, data[:1]}, {FrameBlocks(n), data[:1]}, {0, nil}, {0, data[:h.BlockLen(0)-1]}} {
				if err := h.VerifyBlock(bad.i, bad.b); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("block %d of %d bytes: %v", bad.i, len(bad.b), err)
				}
			}
		}
	}
}

func TestPutFrameBounds(t *testing.T) {
	for _, n := range []int{-1, 0, MaxFrameData + 1} {
		if _, err := PutFrame(make([]byte, FrameHeaderRoom+n), &FrameHeader{}); err == nil {
			t.Errorf("a frame of %d bytes was put", n)
		}
	}
}

// TestHeaderRoomIsCleared: what a pooled buffer held before is not written to disk.
func TestHeaderRoomIsCleared(t *testing.T) {
	buf := frameBuffer(10)
	if _, err := PutFrame(buf, &FrameHeader{Run: true}); err != nil {
		t.Fatal(err)
	}
	pad := buf[frameFixed+8 : FrameHeaderRoom-4]
	if !bytes.Equal(pad, make([]byte, len(pad))) {
		t.Error("the padding of a run header is not zero")
	}
}

func TestFrameSize(t *testing.T) {
	for _, c := range []struct {
		data int
		run  bool
		want int
	}{
		{1, true, 8192}, {4096, true, 8192}, {4097, true, 12288}, {MaxFrameData, true, MaxFrameData + 4096},
		{1, false, 73}, {BlockSize, false, BlockSize + 72}, {BlockSize + 1, false, BlockSize + 1 + 80},
	} {
		if got := FrameSize(c.data, c.run); got != c.want {
			t.Errorf("FrameSize(%d, %v) = %d, want %d", c.data, c.run, got, c.want)
		}
	}
}
