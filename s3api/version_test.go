package s3api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	enableVersions  = `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`
	suspendVersions = `<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`
)

func (r *rig) versioning(conf string) {
	r.t.Helper()
	r.ok(req{method: "PUT", target: "/bucket?versioning", body: conf})
}

// put stores body and returns the version id that the answer names.
func (r *rig) put(key, body string) string {
	r.t.Helper()
	return r.ok(req{method: "PUT", target: "/bucket/" + key, body: body}).header.Get("x-amz-version-id")
}

// reads says that a version, or the key if id is empty, has the body and names shown as its id.
func (r *rig) reads(key, id, body, shown string) {
	r.t.Helper()
	target := "/bucket/" + key
	if id != "" {
		target += "?versionId=" + id
	}
	for _, method := range []string{"GET", "HEAD"} {
		rep := r.ok(req{method: method, target: target})
		if method == "GET" && rep.body != body || rep.header.Get("ETag") != `"`+etagOf(body)+`"` || rep.header.Get("x-amz-version-id") != shown {
			r.t.Errorf("%s %s: %q, version %q, want %q, %q", method, target, rep.body, rep.header.Get("x-amz-version-id"), body, shown)
		}
	}
}

// gone says that the key is hidden by a delete marker.
func (r *rig) gone(key, marker string) {
	r.t.Helper()
	rep := r.do(req{method: "GET", target: "/bucket/" + key})
	if rep.status != 404 || rep.code() != "NoSuchKey" || rep.header.Get("x-amz-delete-marker") != "true" || rep.header.Get("x-amz-version-id") != marker {
		r.t.Errorf("behind marker %s: %d %s %v", marker, rep.status, rep.code(), rep.header)
	}
	rep = r.do(req{method: "GET", target: "/bucket/" + key + "?versionId=" + marker})
	if rep.status != 405 || rep.code() != "MethodNotAllowed" || rep.header.Get("x-amz-delete-marker") != "true" || rep.header.Get("Allow") != "DELETE" || rep.header.Get("Last-Modified") == "" {
		r.t.Errorf("the marker %s itself: %d %s %v", marker, rep.status, rep.code(), rep.header)
	}
}

// remove deletes a key or a version and returns the version id and whether a marker is spoken of.
func (r *rig) remove(key, id string) (string, bool) {
	r.t.Helper()
	target := "/bucket/" + key
	if id != "" {
		target += "?versionId=" + id
	}
	rep := r.do(req{method: "DELETE", target: target})
	if rep.status != 204 {
		r.t.Fatalf("DELETE %s: %d %s", target, rep.status, rep.body)
	}
	return rep.header.Get("x-amz-version-id"), rep.header.Get("x-amz-delete-marker") == "true"
}

// versions lists the bucket in pages of a size: "key id", "!" before a marker, "*" behind the latest.
func (r *rig) versions(size int, params string) (all []string) {
	r.t.Helper()
	arg := ""
	for len(all) < 1000 {
		rep := r.ok(req{method: "GET", target: "/bucket?versions&max-keys=" + strconv.Itoa(size) + params + arg})
		page := 0
		for _, part := range strings.Split(rep.body, "<Key>")[1:] {
			line := between("<Key>"+part, "<Key>", "</Key>") + " " + between(part, "<VersionId>", "<")
			if strings.Contains(part, "</DeleteMarker>") {
				line = "!" + line
			}
			if between(part, "<IsLatest>", "<") == "true" {
				line += "*"
			}
			all = append(all, line)
			page++
		}
		for _, part := range strings.Split(rep.body, "<CommonPrefixes><Prefix>")[1:] {
			name, _, _ := strings.Cut(part, "</Prefix>")
			all = append(all, name)
			page++
		}
		if page > size {
			r.t.Errorf("a page of %d has %d", size, page)
		}
		if between(rep.body, "<IsTruncated>", "<") != "true" {
			return all
		}
		arg = "&key-marker=" + between(rep.body, "<NextKeyMarker>", "<")
		if id := between(rep.body, "<NextVersionIdMarker>", "<"); id != "" {
			arg += "&version-id-marker=" + id
		}
	}
	r.t.Fatal("the list of versions does not end")
	return nil
}

func TestVersioningConfiguration(t *testing.T) {
	r := newStoreRig(t)
	status := func() string {
		return between(r.ok(req{method: "GET", target: "/bucket?versioning"}).body, "<Status>", "<")
	}
	if s := status(); s != "" {
		t.Errorf("before: %q", s)
	}
	r.versioning(enableVersions)
	if s := status(); s != "Enabled" {
		t.Errorf("enabled: %q", s)
	}
	r.versioning(suspendVersions)
	if s := status(); s != "Suspended" {
		t.Errorf("suspended: %q", s)
	}
	for body, want := range map[string]string{
		"":                           "400 MissingRequestBodyError",
		"<VersioningConfiguration/>": "400 IllegalVersioningConfigurationException",
		"<VersioningConfiguration><Status>On</Status></VersioningConfiguration>":                                    "400 MalformedXML",
		"<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>": "501 NotImplemented",
		strings.Repeat("x", mib): "400 MaxMessageLengthExceeded",
	} {
		if rep := r.do(req{method: "PUT", target: "/bucket?versioning", body: body}); fmt.Sprint(rep.status, " ", rep.code()) != want {
			t.Errorf("%.80q: %d %s, want %s", body, rep.status, rep.code(), want)
		}
	}
	r.want(404, "NoSuchBucket", req{method: "PUT", target: "/none?versioning", body: enableVersions})
}

// TestLifeOfVersions is the user guide's story: null versions, versions, markers, removals, in every
// order of enabling and suspending.
func TestLifeOfVersions(t *testing.T) {
	r := newStoreRig(t)
	if id := r.put("k", "before"); id != "" {
		t.Errorf("without versioning: version %q", id)
	}
	r.reads("k", "", "before", "")
	r.reads("k", "null", "before", "null")
	r.versioning(enableVersions)
	r.reads("k", "", "before", "null")
	one, two := r.put("k", "one"), r.put("k", "two")
	if len(one) != 32 || len(two) != 32 || one == two {
		t.Fatalf("versions %q and %q", one, two)
	}
	r.reads("k", "", "two", two)
	r.reads("k", one, "one", one)
	r.reads("k", "null", "before", "null")
	marker, isMarker := r.remove("k", "")
	if !isMarker || len(marker) != 32 {
		t.Fatalf("delete: version %q, marker %v", marker, isMarker)
	}
	r.gone("k", marker)
	r.reads("k", two, "two", two)
	if id, isMarker := r.remove("k", marker); id != marker || !isMarker {
		t.Errorf("removing the marker: %q, %v", id, isMarker)
	}
	r.reads("k", "", "two", two)
	if id, isMarker := r.remove("k", two); id != two || isMarker {
		t.Errorf("removing a version: %q, %v", id, isMarker)
	}
	r.want(404, "NoSuchVersion", req{method: "GET", target: "/bucket/k?versionId=" + two})
	r.remove("k", two) // again
	r.reads("k", "", "one", one)

	r.versioning(suspendVersions)
	if id := r.put("k", "suspended"); id != "" {
		t.Errorf("suspended: version %q", id)
	}
	r.reads("k", "", "suspended", "null")
	r.reads("k", one, "one", one)
	if id, isMarker := r.remove("k", ""); id != "null" || !isMarker {
		t.Errorf("delete while suspended: %q, %v", id, isMarker)
	}
	r.gone("k", "null")
	r.put("k", "again")
	r.reads("k", "null", "again", "null")
	if id, isMarker := r.remove("k", "null"); id != "null" || isMarker {
		t.Errorf("removing the null version: %q, %v", id, isMarker)
	}
	r.reads("k", "", "one", one)
	r.remove("k", one)
	r.want(404, "NoSuchKey", req{method: "GET", target: "/bucket/k"})
	if all := r.versions(10, ""); len(all) != 0 {
		t.Errorf("left over: %q", all)
	}
	r.ok(req{method: "DELETE", target: "/bucket"})
}

func TestVersionIDsOfRequests(t *testing.T) {
	r := newStoreRig(t)
	r.versioning(enableVersions)
	one := r.put("k", "one")
	r.put("k", "two")
	other := strings.Repeat("v", 32)
	for _, tc := range []struct {
		method, target string
		status         int
		code           string
	}{
		{"GET", "k?versionId=", 400, "InvalidArgument"},
		{"GET", "k?versionId=short", 400, "InvalidArgument"},
		{"GET", "k?versionId=" + other, 404, "NoSuchVersion"},
		{"GET", "k?versionId=null", 404, "NoSuchVersion"},
		{"GET", "none?versionId=" + one, 404, "NoSuchVersion"},
		{"PUT", "k?versionId=" + one, 400, "InvalidArgument"},
		{"POST", "k?uploads&versionId=" + one, 400, "InvalidArgument"},
		{"GET", "k?attributes&versionId=" + other, 404, "NoSuchVersion"},
		{"GET", "k?tagging&versionId=" + one, 200, ""},
		{"DELETE", "k?versionId=short", 400, "InvalidArgument"},
	} {
		headers := []string{"x-amz-object-attributes: ETag"}
		r.want(tc.status, tc.code, req{method: tc.method, target: "/bucket/" + tc.target, headers: headers})
	}
	if id, _ := r.remove("k", other); id != other {
		t.Errorf("deleting what never was names %q", id)
	}
	rep := r.ok(req{method: "GET", target: "/bucket/k?attributes&versionId=" + one, headers: []string{"x-amz-object-attributes: ETag"}})
	if between(rep.body, "<ETag>", "<") != etagOf("one") || rep.header.Get("x-amz-version-id") != one {
		t.Errorf("attributes of a version: %s", rep.body)
	}
}

func TestCopiesOfVersions(t *testing.T) {
	r := newStoreRig(t)
	r.versioning(enableVersions)
	one, two := r.put("k", "one"), r.put("k", "two")
	copyOf := func(source, to string) reply {
		return r.do(req{method: "PUT", target: "/bucket/" + to, headers: []string{"x-amz-copy-source: " + source}})
	}
	rep := copyOf("/bucket/k?versionId="+one, "copy")
	if rep.status != 200 || rep.header.Get("x-amz-copy-source-version-id") != one || len(rep.header.Get("x-amz-version-id")) != 32 {
		t.Fatalf("copy of a version: %d %v %s", rep.status, rep.header, rep.body)
	}
	r.reads("copy", "", "one", rep.header.Get("x-amz-version-id"))
	if rep = copyOf("/bucket/k", "copy"); rep.header.Get("x-amz-copy-source-version-id") != two {
		t.Errorf("copy of the current version: %d %v", rep.status, rep.header)
	}
	// A version copied onto its own key is how one goes back to it.
	if rep = copyOf("/bucket/k?versionId="+one, "k"); rep.status != 200 {
		t.Errorf("copy of an old version onto its key: %d %s", rep.status, rep.body)
	}
	r.reads("k", "", "one", rep.header.Get("x-amz-version-id"))
	marker, _ := r.remove("k", "")
	if rep = copyOf("/bucket/k", "x"); rep.status != 404 || rep.code() != "NoSuchKey" {
		t.Errorf("copy behind a marker: %d %s", rep.status, rep.code())
	}
	if rep = copyOf("/bucket/k?versionId="+marker, "x"); rep.status != 400 || rep.code() != "InvalidRequest" {
		t.Errorf("copy of a marker: %d %s", rep.status, rep.code())
	}
	if rep = copyOf("/bucket/k?versionId="+strings.Repeat("v", 32), "x"); rep.status != 404 || rep.code() != "NoSuchVersion" {
		t.Errorf("copy of what never was: %d %s", rep.status, rep.code())
	}
}

func TestListsOfVersions(t *testing.T) {
	r := newStoreRig(t)
	var want []string
	add := func(key string, ids ...string) {
		for i, id := range slices.Backward(ids) {
			line := key + " " + id
			if rest, ok := strings.CutPrefix(id, "!"); ok {
				line = "!" + key + " " + rest
			}
			if i == len(ids)-1 {
				line += "*"
			}
			want = append(want, line)
		}
	}
	r.put("a", "null")
	r.put("d/x", "null")
	r.versioning(enableVersions)
	a := []string{"null", r.put("a", "1"), r.put("a", "2")}
	dx := []string{"null", r.put("d/x", "1")}
	marker, _ := r.remove("d/x", "")
	dx = append(dx, "!"+marker)
	dy := []string{r.put("d/y", "1"), r.put("d/y", "2"), r.put("d/y", "3")}
	r.remove("d/y", dy[1])
	r.versioning(suspendVersions)
	b := []string{r.put("b", "1")}
	b[0] = "null"
	add("a", a...)
	add("b", b...)
	inD := len(want)
	add("d/x", dx...)
	add("d/y", dy[0], dy[2])
	for size := 1; size <= len(want)+1; size++ {
		if got := r.versions(size, ""); !slices.Equal(got, want) {
			t.Fatalf("in pages of %d: %q, want %q", size, got, want)
		}
		if got, dirs := r.versions(size, "&delimiter=/"), append(slices.Clone(want[:inD]), "d/"); !slices.Equal(got, dirs) {
			t.Fatalf("by directory in pages of %d: %q, want %q", size, got, dirs)
		}
		if got := r.versions(size, "&prefix=d/"); !slices.Equal(got, want[inD:]) {
			t.Fatalf("below d/ in pages of %d: %q, want %q", size, got, want[inD:])
		}
	}
	// A null version is one: what replaces it does so at once, a marker too.
	for i := range 20 {
		r.put("b", strconv.Itoa(i))
		if i%5 == 4 {
			r.remove("b", "")
		}
		now := "b null*"
		if i%5 == 4 {
			now = "!" + now
		}
		if got := r.versions(1+i%3, "&prefix=b"); !slices.Equal(got, []string{now}) {
			t.Fatalf("after null version %d: %q, want %q", i, got, now)
		}
	}
	// A delete marker hides its key from lists of keys.
	if rep := r.ok(req{method: "GET", target: "/bucket?list-type=2"}); strings.Contains(rep.body, "<Key>d/x<") || !strings.Contains(rep.body, "<Key>d/y<") {
		t.Errorf("list of keys: %s", rep.body)
	}
	for query, code := range map[string]string{"version-id-marker=null": "InvalidArgument", "key-marker=a&version-id-marker=short": "InvalidArgument"} {
		r.want(400, code, req{method: "GET", target: "/bucket?versions&" + query})
	}
}

func TestDeleteObjectsWithVersions(t *testing.T) {
	r := newStoreRig(t)
	r.versioning(enableVersions)
	one, two := r.put("k", "one"), r.put("k", "two")
	send := func(objects string) string {
		return r.ok(req{method: "POST", target: "/bucket?delete", body: "<Delete>" + objects + "</Delete>"}).body
	}
	body := send("<Object><Key>k</Key></Object>")
	marker := between(body, "<DeleteMarkerVersionId>", "<")
	if between(body, "<DeleteMarker>", "<") != "true" || len(marker) != 32 || strings.Contains(body, "<VersionId>") {
		t.Errorf("a key: %s", body)
	}
	r.gone("k", marker)
	for _, value := range []string{"*", etagOf("two"), "other"} { // behind a marker there is no current object
		r.want(404, "NoSuchKey", req{method: "DELETE", target: "/bucket/k", headers: []string{"If-Match: " + value}})
		if body := send("<Object><Key>k</Key><ETag>" + value + "</ETag></Object>"); between(body, "<Code>", "<") != "NoSuchKey" {
			t.Errorf("behind a marker with %s: %s", value, body)
		}
	}
	body = send("<Object><Key>k</Key><VersionId>" + two + "</VersionId></Object>")
	if between(body, "<VersionId>", "<") != two || strings.Contains(body, "DeleteMarker>") {
		t.Errorf("a version: %s", body)
	}
	body = send("<Object><Key>k</Key><VersionId>" + marker + "</VersionId></Object>")
	if between(body, "<DeleteMarker>", "<") != "true" || between(body, "<DeleteMarkerVersionId>", "<") != marker || between(body, "<VersionId>", "<") != marker {
		t.Errorf("a marker: %s", body)
	}
	r.reads("k", "", "one", one)
	body = send("<Object><Key>k</Key><VersionId>" + one + "</VersionId><ETag>other</ETag></Object>")
	if between(body, "<Code>", "<") != "PreconditionFailed" {
		t.Errorf("a version under a false condition: %s", body)
	}
	body = send("<Object><Key>k</Key><VersionId>" + two + "</VersionId><ETag>other</ETag></Object>")
	if strings.Contains(body, "<Error>") {
		t.Errorf("a version that is gone: %s", body)
	}
	r.want(204, "", req{method: "DELETE", target: "/bucket/k?versionId=" + two, headers: []string{"If-Match: *"}})
	r.reads("k", "", "one", one)
}

func TestUploadsMakeVersions(t *testing.T) {
	r := newStoreRig(t)
	r.versioning(enableVersions)
	first := r.put("k", "one")
	up := between(r.ok(req{method: "POST", target: "/bucket/k?uploads"}).body, "<UploadId>", "<")
	part := r.ok(req{method: "PUT", target: "/bucket/k?partNumber=1&uploadId=" + up, body: sample(5000)})
	rep := r.ok(req{method: "POST", target: "/bucket/k?uploadId=" + up, body: "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" +
		part.header.Get("ETag") + "</ETag></Part></CompleteMultipartUpload>"})
	second := rep.header.Get("x-amz-version-id")
	if len(second) != 32 || second == first {
		t.Fatalf("completed as version %q", second)
	}
	if get := r.ok(req{method: "GET", target: "/bucket/k?versionId=" + second}); get.body != sample(5000) {
		t.Error("the completed version came back wrong")
	}
	r.reads("k", first, "one", first)
	r.remove("k", second)
	r.reads("k", "", "one", first)
}
