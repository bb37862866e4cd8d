package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/valyala/fasthttp"
)

// ceilingServer answers every call of the workloads at once from memory: it checks no signature, stores
// nothing and hashes nothing. What the client reaches against it on a machine is the most that any
// server can show there with this client.
type ceilingServer struct {
	mu     sync.Mutex
	bodies map[int][]body // by size; guarded by mu
	page   []byte         // one listing page
}

func newCeilingCommand() *cobra.Command {
	address := "127.0.0.1:9100"
	cmd := &cobra.Command{
		Use:   "ceiling",
		Short: "Serve answers at once, to see what the client itself allows on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ln, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "listening on", ln.Addr())
			return serveCeiling(ln)
		},
	}
	cmd.Flags().StringVar(&address, "address", address, "where to listen; port 0 takes a free one")
	return cmd
}

func serveCeiling(ln net.Listener) error {
	s := &ceilingServer{bodies: map[int][]body{}, page: ceilingPage(listPage)}
	srv := &fasthttp.Server{
		Handler:                      s.handle,
		StreamRequestBody:            true,
		NoDefaultServerHeader:        true,
		NoDefaultDate:                true,
		MaxRequestBodySize:           1 << 30,
		DisablePreParseMultipartForm: true,
	}
	return srv.Serve(ln)
}

func (s *ceilingServer) handle(ctx *fasthttp.RequestCtx) {
	if r := ctx.RequestBodyStream(); r != nil {
		io.Copy(io.Discard, r)
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(string(ctx.Path()), "/"), "/")
	args := ctx.QueryArgs()
	ctx.Response.Header.Set("ETag", `"00000000000000000000000000000000"`)
	switch {
	case bucket == "", key == "" && !ctx.IsGet():
	case key == "" && args.Has("list-type"):
		ctx.Response.SetBodyRaw(s.page)
	case ctx.IsPost() && args.Has("uploads"):
		ctx.SetBodyString("<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
	case ctx.IsDelete():
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	case ctx.IsGet(), ctx.IsHead():
		size, variant, ok := parseKey(key)
		if !ok {
			ctx.SetStatusCode(fasthttp.StatusNotFound)
			return
		}
		b := s.of(size)
		ctx.Response.SetBodyRaw(b[variant%len(b)].data)
	}
}

func (s *ceilingServer) of(size int) []body {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bodies[size]
	if b == nil {
		b = bodies(size, payloadUnsigned)
		s.bodies[size] = b
	}
	return b
}

func ceilingPage(n int) []byte {
	var b strings.Builder
	b.WriteString(`<ListBucketResult><Name>bench</Name><IsTruncated>false</IsTruncated>`)
	for i := range n {
		b.WriteString(`<Contents><Key>1024/list-0-` + strconv.Itoa(i) + `.0</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified>` +
			`<ETag>&#34;00000000000000000000000000000000&#34;</ETag><Size>1024</Size><StorageClass>STANDARD</StorageClass></Contents>`)
	}
	b.WriteString(`</ListBucketResult>`)
	return []byte(b.String())
}

// startCeiling runs this program's own ceiling command in a process of its own, so that its processor
// time is not counted as the client's.
func startCeiling() (address string, proc *os.Process, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	proc, err = os.StartProcess(self, []string{self, "ceiling", "--address", "127.0.0.1:0"},
		&os.ProcAttr{Files: []*os.File{nil, w, os.Stderr}})
	w.Close()
	if err != nil {
		return "", nil, err
	}
	if _, err := fmt.Fscanf(r, "listening on %s\n", &address); err != nil {
		proc.Kill()
		proc.Wait()
		return "", nil, fmt.Errorf("ceiling server: %w", err)
	}
	return "http://" + address, proc, nil
}
