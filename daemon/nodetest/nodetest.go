// Package nodetest runs whole nodes inside a test: real drives in temporary directories, a real
// listener on loopback, and a small signed client. A node that a test started is closed with it.
package nodetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/daemon/config"
	"holdfast/daemon/node"
	"holdfast/s3api/sigv4"
)

// Root is the root user of every node of this package.
var Root = config.Root{User: "nodetest", Password: "nodetest-secret"}

// Node is one node under test. Its methods end the test on what only a broken test can cause.
type Node struct {
	t      testing.TB
	Config config.Config
	Dirs   []string // one for each drive
	// FS and Clock are given to the node; nil is the operating system's.
	FS    vfs.FS
	Clock func() time.Time

	Greeting, Log *Buffer
	running       *node.Node
	client        *http.Client
	signer        *sigv4.Signer
}

// New prepares a node over n fresh drives; nothing is started.
func New(t testing.TB, n int) *Node {
	t.Helper()
	nd := &Node{t: t, Config: config.Default(), Greeting: &Buffer{}, Log: &Buffer{}}
	base := t.TempDir()
	for i := 1; i <= n; i++ {
		nd.Dirs = append(nd.Dirs, filepath.Join(base, fmt.Sprintf("drive%d", i)))
	}
	nd.Config.Address = "127.0.0.1:0"
	nd.Config.Root = Root
	nd.Config.DrainLimit = 5 * time.Second
	nd.client = &http.Client{Transport: &http.Transport{}}
	nd.signer = sigv4.NewSigner(Root.User, Root.Password, "us-east-1")
	t.Cleanup(nd.Stop)
	return nd
}

// Start starts the node on its drives and returns the error of a refused start.
func (nd *Node) Start() error {
	nd.t.Helper()
	if nd.running != nil {
		nd.t.Fatal("nodetest: the node runs already")
	}
	nd.Config.Drives = nd.Dirs
	n, err := node.Start(context.Background(), nd.Config, node.Face{Version: "test", Out: nd.Greeting, Log: nd.Log, FS: nd.FS, Clock: nd.Clock})
	if err != nil {
		return err
	}
	nd.running = n
	return nil
}

// MustStart is Start where nothing may go wrong.
func (nd *Node) MustStart() {
	nd.t.Helper()
	if err := nd.Start(); err != nil {
		nd.t.Fatalf("start: %v\nlog:\n%s", err, nd.Log)
	}
}

// Stop closes the node if it runs.
func (nd *Node) Stop() {
	nd.t.Helper()
	if nd.running == nil {
		return
	}
	n := nd.running
	nd.running = nil
	nd.client.CloseIdleConnections()
	if err := n.Close(); err != nil {
		nd.t.Errorf("stop: %v", err)
	}
}

// URL is the address of a raw target on the running node.
func (nd *Node) URL(target string) string { return "http://" + nd.running.Addr().String() + target }

// Answer is a response read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends one signed request. target is what follows the host, as it goes over the wire.
func (nd *Node) Do(method, target string, body []byte, headers ...string) (Answer, error) {
	req, err := http.NewRequest(method, nd.URL(target), bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	path, query, _ := strings.Cut(target, "?")
	view := sigv4.Request{Method: method, RawPath: path, RawQuery: query, Host: req.URL.Host}
	for i := 0; i+1 < len(headers); i += 2 {
		view.Headers = append(view.Headers, sigv4.Header{Name: strings.ToLower(headers[i]), Value: headers[i+1]})
	}
	sum := sha256.Sum256(body)
	if _, err := nd.signer.Sign(&view, hex.EncodeToString(sum[:]), time.Now()); err != nil {
		return Answer{}, err
	}
	for _, h := range view.Headers {
		req.Header.Add(h.Name, h.Value)
	}
	resp, err := nd.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, b}, err
}

// Want is Do that ends the test unless the answer has the status.
func (nd *Node) Want(status int, method, target string, body []byte, headers ...string) Answer {
	nd.t.Helper()
	a, err := nd.Do(method, target, body, headers...)
	if err != nil || a.Status != status {
		nd.t.Fatalf("%s %s: status %d, %v; want %d\n%s\nlog:\n%s", method, target, a.Status, err, status, a.Body, nd.Log)
	}
	return a
}

// Eventually polls until f holds and ends the test when it does not within ten seconds.
func (nd *Node) Eventually(what string, f func() bool) {
	nd.t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			nd.t.Fatalf("%s did not come true\nlog:\n%s", what, nd.Log)
		case <-tick.C:
		}
	}
}

// Hide moves a drive's directory away, as an unmounted file system goes; Show brings it back.
func (nd *Node) Hide(i int) {
	nd.t.Helper()
	if err := os.Rename(nd.Dirs[i], nd.Dirs[i]+".hidden"); err != nil {
		nd.t.Fatal(err)
	}
}

// Show undoes Hide.
func (nd *Node) Show(i int) {
	nd.t.Helper()
	if err := os.Rename(nd.Dirs[i]+".hidden", nd.Dirs[i]); err != nil {
		nd.t.Fatal(err)
	}
}

// Remove deletes a drive with all that is on it.
func (nd *Node) Remove(i int) {
	nd.t.Helper()
	if err := os.RemoveAll(nd.Dirs[i]); err != nil {
		nd.t.Fatal(err)
	}
}
