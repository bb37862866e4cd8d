package node_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"holdfast/daemon/nodetest"
)

// TestOldImageOfADriveIsLeftOut sets one drive back to an earlier state, as a restored disk image
// does. With one more drive gone, what it lacks must not become evidence that it never was.
func TestOldImageOfADriveIsLeftOut(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	fill(nd, "first")
	nd.Stop()
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(nd.Dirs[1])); err != nil {
		t.Fatal(err)
	}
	nd.MustStart()
	for i := range 20 {
		nd.Want(200, http.MethodPut, fmt.Sprintf("/first/later-%d", i), []byte("later"))
	}
	nd.Want(204, http.MethodDelete, "/first/object-100", nil)
	nd.Stop()
	nd.Remove(1)
	if err := os.CopyFS(nd.Dirs[1], os.DirFS(image)); err != nil {
		t.Fatal(err)
	}
	nd.MustStart()
	if !strings.Contains(nd.Greeting.String(), "drive has lost acknowledged writes") {
		t.Errorf("the greeting does not tell of the old image:\n%s", nd.Greeting)
	}
	for i := range 20 {
		nd.Want(200, http.MethodGet, fmt.Sprintf("/first/later-%d", i), nil)
	}
	nd.Want(404, http.MethodGet, "/first/object-100", nil)
	nd.Want(200, http.MethodPut, "/first/more", []byte("three drives are a write quorum"))
}
