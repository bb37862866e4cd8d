package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"testing"

	md5simd "github.com/minio/md5-simd"
	"golang.org/x/sys/unix"
)

// cpuTime begins to count the processor time of this process; the function it returns reports it
// per byte. On a machine that does other things, too, it is the better measure.
func cpuTime(b *testing.B) func(bytesPerOp int64) {
	spent := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	from := spent()
	return func(bytesPerOp int64) {
		b.ReportMetric(float64(spent()-from)/float64(bytesPerOp)/float64(b.N), "cpu-ns/B")
	}
}

// So many streams in step.
func BenchmarkKernels(b *testing.B) {
	for name, e := range variants() {
		for streams := 1; streams <= e.k.width; streams++ {
			b.Run(fmt.Sprintf("%s/streams=%d", name, streams), func(b *testing.B) {
				const n = 16 << 10
				jobs := make([]*job, streams)
				for i := range jobs {
					jobs[i] = &e.stream().job
					jobs[i].data = make([]byte, n)
				}
				stop := cpuTime(b)
				for range b.N {
					e.run(jobs, n)
				}
				stop(int64(n * streams))
			})
		}
	}
}

// Streams that write 256 KiB at a time, as bodies of requests do.
func BenchmarkStreams(b *testing.B) {
	p := New()
	server := md5simd.NewServer()
	defer server.Close()
	kinds := []struct {
		name string
		new  func() io.Writer
	}{
		{"md5/here", func() io.Writer { return p.MD5() }},
		{"md5/standard", func() io.Writer { return md5.New() }},
		{"md5/md5-simd", func() io.Writer { return server.NewHash() }},
		{"both/here", func() io.Writer { return p.MD5SHA256() }},
		{"both/standard", func() io.Writer { return io.MultiWriter(md5.New(), sha256.New()) }},
	}
	for _, kind := range kinds {
		for _, streams := range []int{1, 2, 4, 8, 16} {
			b.Run(fmt.Sprintf("%s/streams=%d", kind.name, streams), func(b *testing.B) {
				const n = 256 << 10
				stop := cpuTime(b)
				var wg sync.WaitGroup
				for range streams {
					data := make([]byte, n)
					wg.Go(func() {
						h := kind.new()
						for range b.N {
							_, _ = h.Write(data)
						}
						if s, ok := h.(interface{ Sum(b []byte) []byte }); ok {
							s.Sum(nil) // waits for md5-simd
						}
					})
				}
				wg.Wait()
				stop(int64(n * streams))
			})
		}
	}
}
