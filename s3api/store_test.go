package s3api

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/erasureset"
	"holdfast/actors/ondisk"
	"holdfast/actors/placement"
	"holdfast/actors/slab"
	"holdfast/raftfsm/cluster"
	"holdfast/s3api/checksum"
)

// newStoreRig starts a server over the real coordinator and four drives in memory.
func newStoreRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	store := newStore(t)
	r := newRig(t, store, change...)
	r.control.empty = func(b cluster.Bucket) bool {
		page, err := store.List(context.Background(), &erasureset.ListRequest{Bucket: b, Limit: 1})
		return err == nil && len(page.Entries) == 0
	}
	r.makeBucket("bucket")
	return r
}

// newStore returns the real coordinator over four drives in memory; change may alter its options.
func newStore(t testing.TB, change ...func(*erasureset.Options)) *erasureset.Store {
	t.Helper()
	mems := make(map[cluster.DriveID]*drivetest.Mem)
	list := make([]cluster.Drive, 4)
	for i := range list {
		list[i].ID[0] = byte(i + 1)
		mems[list[i].ID] = drivetest.NewMem(list[i].ID)
	}
	topo, err := placement.Birth([16]byte{1}, list, 0, 32)
	if err != nil {
		t.Fatal(err)
	}
	for id, m := range mems {
		if err := drive.Adopt(t.Context(), m, id, topo.Sets); err != nil {
			t.Fatal(err)
		}
	}
	slabs := slab.New(slab.Config{Budget: 128 << 20, Wait: 2 * time.Second})
	o := erasureset.Options{
		Drives:   func(id cluster.DriveID) drive.Drive { return mems[id] },
		Topology: func() *cluster.Topology { return topo },
		Slabs:    slabs, MarkInterval: time.Millisecond, ResolveEvery: -1, CollectEvery: -1,
	}
	for _, f := range change {
		f(&o)
	}
	store, err := erasureset.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // runs behind the server's shutdown
		store.Close()
		if s := slabs.Stats(); s.InUse != 0 || s.Buffers != 0 {
			t.Errorf("slabs leak: %+v", s)
		}
		slabs.Close()
		for _, m := range mems {
			if w, r := m.Leaks(); w != 0 || r != 0 {
				t.Errorf("%d shard writers and %d readers leak", w, r)
			}
		}
	})
	return store
}

// sample is n bytes that repeat with no period of a power of two.
func sample(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i*7)
	}
	return string(b)
}

func etagOf(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func sumHeaderOf(a ondisk.ChecksumAlgo, data string) string {
	h := checksum.New(a)
	h.Write([]byte(data))
	return checksum.Header(a) + ": " + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func TestObjectsOfAllSizesAndRanges(t *testing.T) {
	r := newStoreRig(t)
	for _, size := range []int{0, 1, 100, 4096, 4097, 70_000, mib, 2*mib + 3} {
		body := sample(size)
		target := "/bucket/size-" + strconv.Itoa(size)
		put := r.ok(req{method: "PUT", target: target, body: body, headers: []string{"Content-Type: a/b", "Cache-Control: no-cache",
			"Content-Disposition: inline", "Expires: Tue, 01 Dec 2026 00:00:00 GMT", "Content-Language: en", "x-amz-website-redirect-location: /x", "x-amz-storage-class: STANDARD_IA"}})
		if put.header.Get("ETag") != `"`+etagOf(body)+`"` {
			t.Errorf("size %d: ETag %s", size, put.header.Get("ETag"))
		}
		get := r.ok(req{method: "GET", target: target})
		if get.body != body {
			t.Fatalf("size %d: came back wrong", size)
		}
		head := r.ok(req{method: "HEAD", target: target})
		for _, name := range []string{"Content-Type", "Cache-Control", "Content-Disposition", "Expires", "Content-Language", "ETag", "Last-Modified", "Content-Length", "x-amz-website-redirect-location", "x-amz-storage-class"} {
			if head.header.Get(name) != get.header.Get(name) || get.header.Get(name) == "" {
				t.Errorf("size %d: %s is %q for HEAD and %q for GET", size, name, head.header.Get(name), get.header.Get(name))
			}
		}
		if size < 100 {
			continue
		}
		for _, rg := range []struct{ spec, want string }{
			{"0-0", body[:1]}, {"5-20", body[5:21]}, {strconv.Itoa(size-7) + "-", body[size-7:]}, {"-9", body[size-9:]},
			{"3-" + strconv.Itoa(size*2), body[3:]}, {strconv.Itoa(size/2) + "-" + strconv.Itoa(size/2+50), body[size/2 : min(size/2+51, size)]},
		} {
			rep := r.ok(req{method: "GET", target: target, headers: []string{"Range: bytes=" + rg.spec}})
			if rep.status != 206 || rep.body != rg.want || !strings.HasSuffix(rep.header.Get("Content-Range"), "/"+strconv.Itoa(size)) {
				t.Errorf("size %d, range %s: %d, %d bytes, %s", size, rg.spec, rep.status, len(rep.body), rep.header.Get("Content-Range"))
			}
		}
		for ifRange, status := range map[string]int{
			`"` + etagOf(body) + `"`: 206, `"other"`: 200, get.header.Get("Last-Modified"): 206, "Tue, 01 Dec 2015 00:00:00 GMT": 200,
		} {
			if rep := r.ok(req{method: "GET", target: target, headers: []string{"Range: bytes=0-9", "If-Range: " + ifRange}}); rep.status != status {
				t.Errorf("size %d, If-Range %s: %d", size, ifRange, rep.status)
			}
		}
		rep := r.ok(req{method: "HEAD", target: target, headers: []string{"Range: bytes=0-9"}})
		if rep.status != 206 || rep.header.Get("Content-Length") != "10" {
			t.Errorf("HEAD of a range: %d %v", rep.status, rep.header)
		}
	}
}

func TestChecksumsOfObjects(t *testing.T) {
	r := newStoreRig(t)
	body := sample(300_000)
	for _, a := range checksum.Algorithms() {
		target := "/bucket/" + checksum.Name(a)
		header := sumHeaderOf(a, body)
		name, value, _ := strings.Cut(header, ": ")
		put := r.ok(req{method: "PUT", target: target, body: body, headers: []string{header}})
		if put.header.Get(name) != value || put.header.Get("x-amz-checksum-type") != "FULL_OBJECT" {
			t.Errorf("%s: PUT answers %v", name, put.header)
		}
		if get := r.ok(req{method: "GET", target: target}); get.header.Get(name) != "" {
			t.Errorf("%s is shown without being asked for", name)
		}
		for _, method := range []string{"GET", "HEAD"} {
			get := r.ok(req{method: method, target: target, headers: []string{"x-amz-checksum-mode: ENABLED"}})
			if get.header.Get(name) != value {
				t.Errorf("%s: %s answers %q", name, method, get.header.Get(name))
			}
			get = r.ok(req{method: method, target: target, headers: []string{"x-amz-checksum-mode: ENABLED", "Range: bytes=0-9"}})
			if get.header.Get(name) != "" {
				t.Errorf("%s of the object is shown for a range", name)
			}
		}
		wrong := sumHeaderOf(a, body+"x")
		r.want(400, "BadDigest", req{method: "PUT", target: "/bucket/bad", body: body, headers: []string{wrong}})
	}
	r.want(404, "NoSuchKey", req{method: "GET", target: "/bucket/bad"})
	sum := md5.Sum([]byte(body))
	r.ok(req{method: "PUT", target: "/bucket/md5", body: body, headers: []string{"Content-MD5: " + base64.StdEncoding.EncodeToString(sum[:])}})
}

func TestConditionalWrites(t *testing.T) {
	r := newStoreRig(t)
	put := func(key, body string, headers ...string) req {
		return req{method: "PUT", target: "/bucket/" + key, body: body, headers: headers}
	}
	r.want(404, "NoSuchKey", put("k", "v", "If-Match: *"))
	r.want(404, "NoSuchKey", put("k", "v", `If-Match: "abc"`))
	r.want(200, "", put("k", "one", "If-None-Match: *"))
	r.want(412, "PreconditionFailed", put("k", "two", "If-None-Match: *"))
	r.want(412, "PreconditionFailed", put("k", "two", `If-Match: "abc"`))
	r.want(200, "", put("k", "two", `If-Match: "`+etagOf("one")+`"`))
	r.want(200, "", put("k", "three", "If-Match: "+etagOf("two")))
	r.want(412, "PreconditionFailed", put("k", "x", `If-None-Match: "`+etagOf("three")+`"`))
	r.want(501, "NotImplemented", put("k", "x", "If-Unmodified-Since: Tue, 01 Dec 2026 00:00:00 GMT"))
	r.want(412, "PreconditionFailed", req{method: "DELETE", target: "/bucket/k", headers: []string{`If-Match: "abc"`}})
	r.want(412, "PreconditionFailed", req{method: "DELETE", target: "/bucket/k", headers: []string{"x-amz-if-match-size: 4"}})
	r.want(412, "PreconditionFailed", req{method: "DELETE", target: "/bucket/k", headers: []string{"x-amz-if-match-last-modified-time: Tue, 01 Dec 2015 00:00:00 GMT"}})
	r.want(204, "", req{method: "DELETE", target: "/bucket/k", headers: []string{`If-Match: "` + etagOf("three") + `"`, "x-amz-if-match-size: 5"}})
	for _, value := range []string{"*", `"abc"`, `"` + etagOf("three") + `"`} { // a tag wants an object that is there
		r.want(404, "NoSuchKey", req{method: "DELETE", target: "/bucket/k", headers: []string{"If-Match: " + value}})
		rep := r.ok(req{method: "POST", target: "/bucket?delete", body: "<Delete><Object><Key>k</Key><ETag>" + value + "</ETag></Object></Delete>"})
		if between(rep.body, "<Code>", "<") != "NoSuchKey" {
			t.Errorf("an absent key with %s: %s", value, rep.body)
		}
	}
	r.want(204, "", req{method: "DELETE", target: "/bucket/k", headers: []string{"x-amz-if-match-size: 4"}})
	r.want(204, "", req{method: "DELETE", target: "/bucket/k", headers: []string{"x-amz-if-match-last-modified-time: Tue, 01 Dec 2015 00:00:00 GMT"}})
	r.want(204, "", req{method: "DELETE", target: "/bucket/k"})

	// Of many who create at once, one wins.
	var wg sync.WaitGroup
	status := make([]int, 16)
	for i := range status {
		text := put("race", strconv.Itoa(i), "If-None-Match: *").text(t)
		c := r.dial()
		wg.Go(func() {
			c.conn.Write([]byte(text))
			status[i] = c.receive("PUT").status
		})
	}
	wg.Wait()
	slices.Sort(status)
	if status[0] != 200 || status[1] != 412 {
		t.Errorf("the race: %v", status)
	}
}

// TestBlankConditions: a guard whose value the client lost must not be taken for none.
func TestBlankConditions(t *testing.T) {
	r := newStoreRig(t)
	r.ok(req{method: "PUT", target: "/bucket/k", body: "v"})
	upload := r.begin("/bucket/up")
	refused := func(name string, q req) {
		t.Helper()
		rep := r.want(400, "InvalidArgument", q)
		if want := "<ArgumentName>" + name + "</ArgumentName>"; q.method != "HEAD" && !strings.Contains(rep.body, want) {
			t.Errorf("%s: %s", want, rep.body)
		}
	}
	for _, value := range []string{"", " ", ",", " , "} {
		for _, name := range []string{"if-match", "x-amz-if-match-size", "x-amz-if-match-last-modified-time"} {
			refused(name, req{method: "DELETE", target: "/bucket/k", headers: []string{name + ":" + value}})
		}
		refused("x-amz-if-match-size", req{method: "DELETE", target: "/bucket/k", headers: []string{"If-Match: *", "x-amz-if-match-size:" + value}})
		for _, name := range []string{"if-match", "if-none-match"} {
			headers := []string{name + ":" + value}
			refused(name, req{method: "PUT", target: "/bucket/k", body: "other", headers: headers})
			refused(name, req{method: "POST", target: "/bucket/up?uploadId=" + upload, body: partList("x"), headers: headers})
			refused(name, req{method: "PUT", target: "/bucket/copy", headers: append(headers, "x-amz-copy-source: /bucket/k")})
		}
		for _, name := range []string{"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"} {
			name = "x-amz-copy-source-" + name
			refused(name, req{method: "PUT", target: "/bucket/copy", headers: []string{"x-amz-copy-source: /bucket/k", name + ":" + value}})
		}
	}
	for _, element := range []string{"<ETag></ETag>", "<ETag/>", "<ETag> </ETag>", "<Size></Size>", "<LastModifiedTime/>", "<ETag>*</ETag><Size/>"} {
		rep := r.ok(req{method: "POST", target: "/bucket?delete", body: "<Delete><Object><Key>k</Key>" + element + "</Object><Object><Key>none</Key></Object></Delete>"})
		if !strings.Contains(rep.body, "<Code>InvalidArgument</Code>") || strings.Count(rep.body, "<Deleted>") != 1 {
			t.Errorf("%s: %s", element, rep.body)
		}
	}
	r.want(412, "PreconditionFailed", req{method: "GET", target: "/bucket/k", headers: []string{"If-Match:"}})
	r.want(412, "", req{method: "HEAD", target: "/bucket/k", headers: []string{"If-Match:"}})
	r.want(200, "", req{method: "GET", target: "/bucket/k", headers: []string{"If-None-Match:"}})
	r.want(200, "", req{method: "GET", target: "/bucket/k", headers: []string{"Range: bytes=0-0", "If-Range:"}})
	if rep := r.ok(req{method: "GET", target: "/bucket/k"}); rep.body != "v" {
		t.Errorf("the object is now %q", rep.body)
	}
	r.want(404, "NoSuchKey", req{method: "GET", target: "/bucket/copy"})
}

func TestCopy(t *testing.T) {
	r := newStoreRig(t)
	r.makeBucket("other")
	body := sample(600_000)
	r.ok(req{method: "PUT", target: "/bucket/a%20b+c", body: body, headers: []string{"Content-Type: a/b", "x-amz-meta-x: one", sumHeaderOf(ondisk.ChecksumCRC32C, body)}})
	cp := func(target string, headers ...string) req {
		return req{method: "PUT", target: target, headers: append(headers, "x-amz-copy-source: /bucket/a%20b+c")}
	}
	rep := r.ok(cp("/other/copy"))
	if between(rep.body, "<ETag>", "</ETag>") != "&quot;"+etagOf(body)+"&quot;" || between(rep.body, "<ChecksumCRC32C>", "<") == "" {
		t.Errorf("the answer: %s", rep.body)
	}
	get := r.ok(req{method: "GET", target: "/other/copy"})
	if get.body != body || get.header.Get("Content-Type") != "a/b" || get.header.Get("x-amz-meta-x") != "one" {
		t.Errorf("the copy: %v", get.header)
	}
	r.ok(cp("/other/copy", "x-amz-metadata-directive: REPLACE", "x-amz-meta-y: two", "Content-Type: c/d"))
	get = r.ok(req{method: "HEAD", target: "/other/copy"})
	if get.header.Get("x-amz-meta-x") != "" || get.header.Get("x-amz-meta-y") != "two" || get.header.Get("Content-Type") != "c/d" {
		t.Errorf("with REPLACE: %v", get.header)
	}
	r.want(400, "InvalidRequest", cp("/bucket/a%20b+c"))
	r.ok(cp("/bucket/a%20b+c", "x-amz-metadata-directive: REPLACE", "x-amz-meta-z: three"))
	get = r.ok(req{method: "GET", target: "/bucket/a%20b+c"})
	if get.body != body || get.header.Get("x-amz-meta-z") != "three" {
		t.Errorf("after the copy to itself: %v", get.header)
	}
	r.ok(cp("/bucket/a%20b+c", "x-amz-storage-class: STANDARD_IA"))
	etag := etagOf(body)
	r.want(412, "PreconditionFailed", cp("/other/x", `x-amz-copy-source-if-match: "abc"`))
	r.want(412, "PreconditionFailed", cp("/other/x", "x-amz-copy-source-if-none-match: "+etag))
	r.want(412, "PreconditionFailed", cp("/other/x", "x-amz-copy-source-if-modified-since: Tue, 01 Dec 2099 00:00:00 GMT"))
	r.want(412, "PreconditionFailed", cp("/other/x", "x-amz-copy-source-if-unmodified-since: Tue, 01 Dec 2015 00:00:00 GMT"))
	r.want(200, "", cp("/other/x", "x-amz-copy-source-if-match: "+etag))
	r.want(412, "PreconditionFailed", cp("/other/x", "If-None-Match: *"))
	r.want(400, "InvalidArgument", cp("/other/x", "x-amz-metadata-directive: nonsense"))
	for source, want := range map[string]string{
		"/bucket/none": "NoSuchKey", "/nobody/k": "NoSuchBucket", "bucket": "InvalidArgument", "/bucket/": "InvalidArgument", "": "InvalidArgument",
		"/bucket/%zz": "InvalidArgument", "bucket/a%20b%2Bc": "", "bucket/a%20b+c?versionId=null": "", "bucket/a%20b+c?versionId=x": "InvalidArgument",
		"bucket/a%20b+c?foo=1": "InvalidArgument", "bucket/a%20b+c?versionId=null&foo=1": "InvalidArgument", "bucket/a%20b+c?": "InvalidArgument",
		"bucket/a+b+c": "NoSuchKey",
	} {
		q := req{method: "PUT", target: "/other/y", headers: []string{"x-amz-copy-source: " + source}}
		if rep := r.do(q); rep.code() != want {
			t.Errorf("source %q: %d %s, want %q", source, rep.status, rep.code(), want)
		}
	}
	r.want(403, "AccessDenied", cp("/other/x", "x-amz-source-expected-bucket-owner: nobody"))
}

// TestDeleteRefusesConditionsItCannotJudge: to ignore one would delete what the client wants kept.
func TestDeleteRefusesConditionsItCannotJudge(t *testing.T) {
	r := newStoreRig(t)
	r.ok(req{method: "PUT", target: "/bucket/k", body: "x"})
	for _, h := range []string{"If-None-Match: *", "If-Modified-Since: Tue, 01 Dec 2099 00:00:00 GMT", "If-Unmodified-Since: Tue, 01 Dec 2009 00:00:00 GMT"} {
		r.want(501, "NotImplemented", req{method: "DELETE", target: "/bucket/k", headers: []string{h}})
	}
	r.ok(req{method: "HEAD", target: "/bucket/k"})
}

func TestListsInPages(t *testing.T) {
	r := newStoreRig(t)
	keys := []string{"a", "a/b", "a/c/d", "b+c", "b c", "d/", "d/e", "f%g", "h", "ü/x", "z<&>"}
	for _, k := range keys {
		r.ok(req{method: "PUT", target: "/bucket/" + url.PathEscape(k), body: k})
	}
	slices.Sort(keys)
	walk := func(first, token, next string, size int, params string) []string {
		t.Helper()
		var names []string
		arg := first
		for {
			rep := r.ok(req{method: "GET", target: "/bucket?encoding-type=url&max-keys=" + strconv.Itoa(size) + params + arg})
			page := 0
			for _, part := range strings.Split(rep.body, "<Key>")[1:] {
				name, _, _ := strings.Cut(part, "</Key>")
				name, _ = url.PathUnescape(name)
				names = append(names, name)
				page++
			}
			for _, part := range strings.Split(rep.body, "<CommonPrefixes><Prefix>")[1:] {
				name, _, _ := strings.Cut(part, "</Prefix>")
				name, _ = url.PathUnescape(name)
				names = append(names, name)
				page++
			}
			if page > size {
				t.Errorf("a page of %d has %d", size, page)
			}
			if between(rep.body, "<IsTruncated>", "<") != "true" {
				break
			}
			value := between(rep.body, "<"+next+">", "<")
			if value == "" {
				value = url.QueryEscape(names[len(names)-1]) // V1 without delimiter
			}
			arg = "&" + token + "=" + value
			if len(names) > 100 {
				t.Fatal("the list does not end")
			}
		}
		slices.Sort(names)
		return names
	}
	flat := keys
	dirs := []string{"a", "a/", "b c", "b+c", "d/", "f%g", "h", "z<&>", "ü/"}
	for size := 1; size <= len(keys)+1; size++ {
		for _, tc := range []struct {
			name, first, token, next, params string
			want                             []string
		}{
			{"V2", "", "continuation-token", "NextContinuationToken", "&list-type=2", flat},
			{"V2 by directory", "", "continuation-token", "NextContinuationToken", "&list-type=2&delimiter=/", dirs},
			{"V2 below a/", "", "continuation-token", "NextContinuationToken", "&list-type=2&prefix=a/", []string{"a/b", "a/c/d"}},
			{"V2 after", "&start-after=d/", "continuation-token", "NextContinuationToken", "&list-type=2", flat[slices.Index(flat, "d/e"):]},
			{"V1", "", "marker", "NextMarker", "", flat},
			{"V1 by directory", "", "marker", "NextMarker", "&delimiter=/", dirs},
			{"versions", "", "key-marker", "NextKeyMarker", "&versions", flat},
		} {
			if got := walk(tc.first, tc.token, tc.next, size, tc.params); !slices.Equal(got, tc.want) {
				t.Errorf("%s in pages of %d: %q, want %q", tc.name, size, got, tc.want)
			}
		}
	}
	for query, want := range map[string]string{
		"list-type=2&max-keys=0": "", "max-keys=0": "", "max-keys=-1": "InvalidArgument", "max-keys=x": "InvalidArgument",
		"list-type=2&continuation-token=%21": "InvalidArgument", "list-type=2&continuation-token=": "", "encoding-type=base64": "InvalidArgument",
	} {
		if rep := r.do(req{method: "GET", target: "/bucket?" + query}); rep.code() != want {
			t.Errorf("%s: %d %s", query, rep.status, rep.code())
		}
	}
}

func TestDeleteObjects(t *testing.T) {
	r := newStoreRig(t)
	var doc strings.Builder
	doc.WriteString("<Delete>")
	for i := range 40 {
		r.ok(req{method: "PUT", target: fmt.Sprintf("/bucket/k%02d", i), body: "v"})
		fmt.Fprintf(&doc, "<Object><Key>k%02d</Key></Object>", i)
	}
	doc.WriteString("<Object><Key>none</Key></Object><Object><Key>k01</Key><VersionId>" + strings.Repeat("v", 32) + "</VersionId></Object></Delete>")
	rep := r.ok(req{method: "POST", target: "/bucket?delete", body: doc.String()})
	if strings.Count(rep.body, "<Deleted>") != 42 || strings.Contains(rep.body, "<Error>") { // what is not there is deleted, versions too
		t.Errorf("the answer: %s", rep.body)
	}
	if list := r.ok(req{method: "GET", target: "/bucket"}); strings.Contains(list.body, "<Key>") {
		t.Errorf("left over: %s", list.body)
	}
	r.ok(req{method: "PUT", target: "/bucket/q", body: "v"})
	rep = r.ok(req{method: "POST", target: "/bucket?delete", body: "<Delete><Quiet>true</Quiet><Object><Key>q</Key></Object></Delete>"})
	if strings.Contains(rep.body, "Deleted>") {
		t.Errorf("not quiet: %s", rep.body)
	}
	for body, code := range map[string]string{
		"":                         "MissingRequestBodyError",
		"<Delete>":                 "MalformedXML",
		"<Delete></Delete>":        "MalformedXML",
		"<Other/>":                 "MalformedXML",
		strings.Repeat("x", 5*mib): "MaxMessageLengthExceeded",
		"<Delete>" + strings.Repeat("<Object><Key>k</Key></Object>", 1001) + "</Delete>": "MalformedXML",
	} {
		r.want(400, code, req{method: "POST", target: "/bucket?delete", body: body})
	}
	r.want(400, "BadDigest", req{method: "POST", target: "/bucket?delete", body: "<Delete><Object><Key>q</Key></Object></Delete>",
		headers: []string{"Content-MD5: XrY7u+Ae7tCTyyK7j1rNww=="}})
}

func TestBuckets(t *testing.T) {
	r := newStoreRig(t)
	for _, name := range []string{"alpha", "beta", "beta2"} {
		r.makeBucket(name)
	}
	if rep := r.ok(req{method: "PUT", target: "/alpha"}); rep.header.Get("Location") != "/alpha" {
		t.Errorf("a bucket of us-east-1, again: %v", rep.header)
	}
	r.want(400, "InvalidBucketName", req{method: "PUT", target: "/a"})
	r.want(400, "InvalidBucketName", req{method: "PUT", target: "/Alpha"})
	r.want(400, "MalformedXML", req{method: "PUT", target: "/gamma", body: "nonsense"})
	r.want(400, "InvalidLocationConstraint", req{method: "PUT", target: "/gamma", body: "<CreateBucketConfiguration><LocationConstraint>No Where</LocationConstraint></CreateBucketConfiguration>"})
	r.ok(req{method: "PUT", target: "/old-name", body: "<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>"})
	r.want(204, "", req{method: "DELETE", target: "/old-name"})
	west := "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
	r.ok(req{method: "PUT", target: "/gamma", body: west})
	for _, again := range []req{{target: "/gamma"}, {target: "/gamma", body: west}, {target: "/alpha", body: west}} {
		again.method = "PUT"
		r.want(409, "BucketAlreadyOwnedByYou", again)
	}
	if rep := r.ok(req{method: "GET", target: "/gamma?location"}); between(rep.body, "/\">", "</Loc") != "eu-west-1" {
		t.Errorf("location: %s", rep.body)
	}
	if rep := r.ok(req{method: "GET", target: "/alpha?location"}); between(rep.body, "/\">", "</Loc") != "" {
		t.Errorf("location: %s", rep.body)
	}
	if rep := r.ok(req{method: "HEAD", target: "/gamma"}); rep.header.Get("x-amz-bucket-region") != "eu-west-1" {
		t.Errorf("HEAD: %v", rep.header)
	}
	if rep := r.ok(req{method: "GET", target: "/alpha?versioning"}); strings.Contains(rep.body, "<Status>") {
		t.Errorf("versioning: %s", rep.body)
	}
	names := func(query string) (list []string, token string) {
		rep := r.ok(req{method: "GET", target: "/" + query})
		for _, part := range strings.Split(rep.body, "<Name>")[1:] {
			name, _, _ := strings.Cut(part, "<")
			list = append(list, name)
		}
		return list, between(rep.body, "<ContinuationToken>", "<")
	}
	if got, token := names(""); len(got) != 5 || token != "" {
		t.Errorf("all: %v %q", got, token)
	}
	if got, _ := names("?prefix=bet"); !slices.Equal(got, []string{"beta", "beta2"}) {
		t.Errorf("by prefix: %v", got)
	}
	if got, _ := names("?bucket-region=eu-west-1"); !slices.Equal(got, []string{"gamma"}) {
		t.Errorf("by region: %v", got)
	}
	got, token := names("?max-buckets=3")
	rest, end := names("?max-buckets=3&continuation-token=" + token)
	if !slices.Equal(append(got, rest...), []string{"alpha", "beta", "beta2", "bucket", "gamma"}) || end != "" {
		t.Errorf("pages: %v %v %q", got, rest, end)
	}
	r.want(400, "InvalidArgument", req{method: "GET", target: "/?max-buckets=0"})
	r.want(400, "InvalidArgument", req{method: "GET", target: "/?continuation-token=%21"})
	r.want(204, "", req{method: "DELETE", target: "/alpha"})
	r.want(404, "NoSuchBucket", req{method: "DELETE", target: "/alpha"})
	r.want(404, "NoSuchBucket", req{method: "GET", target: "/alpha?location"})
	r.want(404, "NoSuchBucket", req{method: "GET", target: "/alpha?list-type=2"})
	if rep := r.do(req{method: "HEAD", target: "/alpha"}); rep.status != 404 {
		t.Errorf("HEAD of a removed bucket: %d", rep.status)
	}
}
