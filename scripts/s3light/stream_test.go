package s3light

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"slices"
	"testing"
	"time"
)

// The example of the AWS documentation "Signature Calculations for the Authorization Header: Transferring
// Payload in Multiple Chunks".
func TestChunkSignaturesMatchTheExampleOfAWS(t *testing.T) {
	ours, theirs := net.Pipe()
	c := &Conn{nc: ours, sign: signer{cred: Credentials{
		AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1"}}}
	c.sign.at(time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	copy(c.sign.seed[:], "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
	s := NewStream(bytes.Repeat([]byte("a"), 66560))
	sent := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(theirs)
		sent <- b
	}()
	if err := c.sendStream(s); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	wire := <-sent
	var got []string
	for _, m := range regexp.MustCompile(`([0-9a-f]+;chunk-signature=[0-9a-f]+)\r\n`).FindAllSubmatch(wire, -1) {
		got = append(got, string(m[1]))
	}
	want := []string{
		"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if int64(len(wire)) != s.length {
		t.Errorf("%d bytes on the wire, announced %d", len(wire), s.length)
	}
}
