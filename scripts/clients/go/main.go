// Command journey walks an S3 server with minio-go and with aws-sdk-go-v2 and compares what comes back.
//
//	journey minio|aws
//
// ENDPOINT (host:port), ACCESS_KEY and SECRET_KEY name the server. It is a module of its own, so that the
// product does not depend on these libraries.
package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// server is where the journey goes.
type server struct{ endpoint, accessKey, secretKey string }

// sizes are the object sizes of every journey: nothing, one byte, one part, several parts.
var sizes = map[string]int{"empty": 0, "one": 1, "five-mib": 5 << 20, "seventy-mib": 70 << 20}

// names are keys that clients and servers have to escape, and the longest one.
func names() []string {
	return []string{
		"with space", "plus+sign", "percent%25 and %", "ünïcödé/中文", "emoji-😀", "a&b=c?d#e", "quote'\"<>", "dots/../kept",
		"double//slash", "/leading", "trailing/", "tilde~!$()*,;:@", "tab\tin it", strings.Repeat("k", 1024),
	}
}

func content(size int, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(size)})
	r.Read(b)
	return b
}

// same fails the journey when got is not what was written.
func same(what string, got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %d bytes came back, not the %d written", what, len(got), len(want))
	}
	return nil
}

func main() {
	s := server{os.Getenv("ENDPOINT"), os.Getenv("ACCESS_KEY"), os.Getenv("SECRET_KEY")}
	journeys := map[string]func(context.Context, server) error{"minio": minioJourney, "aws": awsJourney}
	if len(os.Args) != 2 || journeys[os.Args[1]] == nil || s.endpoint == "" {
		fmt.Fprintln(os.Stderr, "usage: ENDPOINT=host:port ACCESS_KEY=.. SECRET_KEY=.. journey minio|aws")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := journeys[os.Args[1]](ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "journey:", err)
		cancel()
		os.Exit(1)
	}
}
