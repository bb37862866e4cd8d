package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/daemon/nodetest"
)

// asCommand makes the test binary behave as holdfast, for tests of a whole process.
const asCommand = "HOLDFAST_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Run(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestWrongWordsAreUsageErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"unknown flag":    {[]string{"server", "--nope", "/d"}, exitUsage, "--nope"},
		"no drives":       {[]string{"server"}, exitUsage, "no drives"},
		"bad ellipsis":    {[]string{"server", "--address", "127.0.0.1:0", "/d{4...1}"}, exitUsage, "/d{4...1}"},
		"bad level":       {[]string{"server", "--log-level", "loud", "/d"}, exitUsage, "loud"},
		"bad memory":      {[]string{"server", "--memory", "much", "/d"}, exitUsage, "much"},
		"distributed":     {[]string{"server", "--address", "127.0.0.1:0", "http://node{1...4}:9000/d"}, exitUsage, "http://node1:9000/d"},
		"three drives":    {[]string{"server", "--address", "127.0.0.1:0", filepath.Join(t.TempDir(), "d{1...3}")}, exitFailure, "3 given"},
		"missing cert":    {[]string{"server", "--address", "127.0.0.1:0", "--tls-cert", "/none.pem", "--tls-key", "/none.key", t.TempDir()}, exitFailure, "/none.pem"},
		"inspect nothing": {[]string{"drive", "inspect"}, exitUsage, "1 arg"},
		"inspect a file":  {[]string{"drive", "inspect", file}, exitFailure, file},
		"inspect no key":  {[]string{"drive", "inspect", "--key", "bucket", t.TempDir()}, exitFailure, "bucket/key"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := run(tc.args...)
			if code != tc.code || !strings.Contains(errs, tc.says) {
				t.Fatalf("exit %d, stderr %q, stdout %q; want exit %d that says %q", code, errs, out, tc.code, tc.says)
			}
		})
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	code, out, _ := run("server", "--help")
	if code != exitOK {
		t.Fatalf("exit %d", code)
	}
	for _, want := range []string{"--address", "HOLDFAST_ADDRESS", "--memory", "HOLDFAST_ROOT_PASSWORD", "MINIO_ROOT_USER", "/mnt/drive{1...4}"} {
		if !strings.Contains(out, want) {
			t.Errorf("help lacks %q", want)
		}
	}
	if code, out, _ = run("version"); code != exitOK || !strings.HasPrefix(out, "holdfast ") {
		t.Errorf("version: %d %q", code, out)
	}
	if code, out, _ = run("completion", "bash"); code != exitOK || !strings.Contains(out, "__start_holdfast") {
		t.Errorf("completion: %d, %d bytes", code, len(out))
	}
}

func TestDriveInspect(t *testing.T) {
	nd := nodetest.New(t, 4)
	nd.MustStart()
	nd.Want(200, http.MethodPut, "/photos", nil)
	nd.Want(200, http.MethodPut, "/photos/cats/small", []byte("meow"))
	nd.Want(200, http.MethodPut, "/photos/cats/large", bytes.Repeat([]byte("x"), 300<<10))
	nd.Stop()
	code, out, errs := run("drive", "inspect", "--verify", nd.Dirs[2])
	if code != exitOK || !strings.Contains(out, "photos") || !strings.Contains(out, "none found") {
		t.Fatalf("exit %d, %s\n%s", code, errs, out)
	}
	for key, want := range map[string]string{"photos/cats/small": "inline", "photos/cats/large": "extent"} {
		if code, out, errs = run("drive", "inspect", nd.Dirs[2], "--key", key); code != exitOK || !strings.Contains(out, want) || !strings.Contains(out, "checksums good") {
			t.Errorf("%s: exit %d, %s\n%s", key, code, errs, out)
		}
	}
	code, out, _ = run("drive", "inspect", "--json", nd.Dirs[2])
	if code, out, _ := run("drive", "inspect", nd.Dirs[2]); code != exitOK || !strings.Contains(out, "the data was not read (--verify does)") {
		t.Errorf("without --verify: exit %d, %s", code, out)
	}
	if code, _, errs := run("drive", "inspect", t.TempDir()); code != exitFailure || !strings.Contains(errs, "no Holdfast drive here (is it mounted?)") {
		t.Errorf("an empty directory: exit %d, %s", code, errs)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK || doc["Label"] == nil {
		t.Errorf("JSON: exit %d, %v", code, err)
	}
	if code, _, errs = run("drive", "inspect", nd.Dirs[2], "--key", "nobucket/x"); code != exitFailure || !strings.Contains(errs, "nobucket") {
		t.Errorf("unknown bucket: exit %d, %s", code, errs)
	}
	// Rot in a segment is told, and nothing else changes.
	segments, err := filepath.Glob(filepath.Join(nd.Dirs[2], "seg", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments: %v, %v", segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.LastIndex(b, []byte("xxxxxxxx"))] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ = run("drive", "inspect", nd.Dirs[2], "--key", "photos/cats/large"); code != exitFailure && !strings.Contains(out, "DAMAGED") {
		t.Errorf("a flipped bit was not told: exit %d\n%s", code, out)
	}
}

// TestSignals starts a whole process: SIGTERM stops it in order, and a second signal at once.
func TestSignals(t *testing.T) {
	for _, second := range []bool{false, true} {
		cmd := exec.Command(os.Args[0], "server", "--address", "127.0.0.1:0", "--json", "--drain-limit", "1m", filepath.Join(t.TempDir(), "d{1...4}"))
		cmd.Env = append(os.Environ(), asCommand+"=1", "HOLDFAST_ROOT_USER=tester", "HOLDFAST_ROOT_PASSWORD=tester-secret")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = new(bytes.Buffer)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var greeting struct{ Endpoints []string }
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &greeting)
		}
		if err != nil || len(greeting.Endpoints) == 0 {
			t.Fatalf("greeting %q: %v\n%s", line, err, cmd.Stderr)
		}
		stalled := stallPut(t, greeting.Endpoints[0])
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if second {
			// The drain waits for the stalled upload; the second signal does not.
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		} else {
			// As timeout(1) does: the same signal once more is no second one.
			err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), stalled.Close())
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitOK && !second || code != exitFailure && second {
			t.Errorf("second signal %v: exit %d, %v\n%s", second, code, err, cmd.Stderr)
		}
		stalled.Close()
	}
}

// stallPut begins an upload that does not go on, and returns once the server has taken it up.
func stallPut(t *testing.T, endpoint string) io.Closer {
	t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequest(http.MethodPut, endpoint+"/no-such-bucket/key", r)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 1 << 20
	client := &http.Client{Timeout: time.Minute}
	go func() {
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	if _, err := w.Write(make([]byte, 16)); err != nil {
		t.Logf("upload ended at once: %v", err)
	}
	return w
}
