package s3api

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"holdfast/actors/ondisk"
	"holdfast/s3api/checksum"
)

// begin opens a multipart upload.
func (r *rig) begin(target string, headers ...string) string {
	r.t.Helper()
	rep := r.ok(req{method: "POST", target: target + "?uploads", headers: headers})
	id := between(rep.body, "<UploadId>", "<")
	if len(id) != 32 {
		r.t.Fatalf("upload id %q in %s", id, rep.body)
	}
	return id
}

// part uploads one part and returns its ETag.
func (r *rig) part(target, id string, n int, body string, headers ...string) string {
	r.t.Helper()
	rep := r.ok(req{method: "PUT", target: fmt.Sprintf("%s?partNumber=%d&uploadId=%s", target, n, id), body: body, headers: headers})
	return strings.Trim(rep.header.Get("ETag"), `"`)
}

func partList(etags ...string) string {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for i, e := range etags {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>\"%s\"</ETag></Part>", i+1, e)
	}
	b.WriteString("</CompleteMultipartUpload>")
	return b.String()
}

func compositeETag(parts ...string) string {
	var all []byte
	for _, p := range parts {
		sum := md5.Sum([]byte(p))
		all = append(all, sum[:]...)
	}
	sum := md5.Sum(all)
	return hex.EncodeToString(sum[:]) + "-" + strconv.Itoa(len(parts))
}

func TestMultipart(t *testing.T) {
	r := newStoreRig(t)
	p1, p2, p3 := sample(6*mib), sample(300_000), sample(17)
	const target = "/bucket/dir/multi"
	id := r.begin(target, "Content-Type: a/b", "x-amz-meta-k: v")
	r.part(target, id, 2, "overwritten later")
	e3 := r.part(target, id, 3, p3)
	e1 := r.part(target, id, 1, p1)
	e2 := r.part(target, id, 2, p2)

	rep := r.ok(req{method: "GET", target: target + "?uploadId=" + id + "&max-parts=2"})
	if strings.Count(rep.body, "<Part>") != 2 || between(rep.body, "<NextPartNumberMarker>", "<") != "2" || between(rep.body, "<IsTruncated>", "<") != "true" {
		t.Errorf("parts: %s", rep.body)
	}
	rep = r.ok(req{method: "GET", target: target + "?uploadId=" + id + "&part-number-marker=2"})
	if strings.Count(rep.body, "<Part>") != 1 || between(rep.body, "<Size>", "<") != "17" {
		t.Errorf("parts behind 2: %s", rep.body)
	}
	rep = r.ok(req{method: "GET", target: "/bucket?uploads"})
	if strings.Count(rep.body, "<Upload>") != 1 || between(rep.body, "<UploadId>", "<") != id {
		t.Errorf("uploads: %s", rep.body)
	}
	rep = r.ok(req{method: "GET", target: "/bucket?uploads&delimiter=/"})
	if strings.Count(rep.body, "<Upload>") != 0 || !strings.Contains(rep.body, "<CommonPrefixes><Prefix>dir/</Prefix>") {
		t.Errorf("uploads by directory: %s", rep.body)
	}
	r.want(404, "NoSuchKey", req{method: "GET", target: target})

	complete := func(list string, headers ...string) req {
		return req{method: "POST", target: target + "?uploadId=" + id, body: list, headers: headers}
	}
	r.want(400, "InvalidPart", complete(partList(e1, e3, e2)))
	r.want(400, "InvalidPart", complete(partList(e1, e2, e1)))
	r.want(400, "InvalidPartOrder", complete("<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>"+e2+"</ETag></Part><Part><PartNumber>1</PartNumber><ETag>"+e1+"</ETag></Part></CompleteMultipartUpload>"))
	r.want(400, "InvalidPartOrder", complete("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part><Part><PartNumber>1</PartNumber><ETag>"+e1+"</ETag></Part></CompleteMultipartUpload>"))
	r.want(400, "MalformedXML", complete(""))
	r.want(400, "MalformedXML", complete("<CompleteMultipartUpload></CompleteMultipartUpload>"))
	r.want(400, "InvalidRequest", complete(partList(e1, e2, e3), "x-amz-mp-object-size: 5"))
	r.want(404, "NoSuchKey", complete(partList(e1, e2, e3), "If-Match: *"))
	rep = r.ok(complete(partList(e1, e2, e3), "If-None-Match: *"))
	want := compositeETag(p1, p2, p3)
	if between(rep.body, "<ETag>", "</ETag>") != "&quot;"+want+"&quot;" || !strings.Contains(rep.body, "<Location>http://"+testHost+target+"</Location>") {
		t.Errorf("complete: %s", rep.body)
	}
	whole := p1 + p2 + p3
	get := r.ok(req{method: "GET", target: target})
	if get.body != whole || get.header.Get("ETag") != `"`+want+`"` || get.header.Get("Content-Type") != "a/b" || get.header.Get("x-amz-meta-k") != "v" {
		t.Errorf("the object: %d bytes %v", len(get.body), get.header)
	}
	get = r.ok(req{method: "GET", target: target, headers: []string{fmt.Sprintf("Range: bytes=%d-%d", len(p1)-5, len(p1)+len(p2)+4)}})
	if get.body != whole[len(p1)-5:len(p1)+len(p2)+5] {
		t.Errorf("a range across parts: %d bytes", len(get.body))
	}
	for n, p := range []string{p1, p2, p3} {
		get := r.ok(req{method: "GET", target: fmt.Sprintf("%s?partNumber=%d", target, n+1)})
		if get.status != 206 || get.body != p || get.header.Get("x-amz-mp-parts-count") != "3" {
			t.Errorf("part %d: %d, %d bytes, %v", n+1, get.status, len(get.body), get.header)
		}
	}
	r.want(416, "InvalidPartNumber", req{method: "GET", target: target + "?partNumber=4"})
	r.want(400, "InvalidArgument", req{method: "GET", target: target + "?partNumber=0"})
	r.want(400, "InvalidRequest", req{method: "GET", target: target + "?partNumber=1", headers: []string{"Range: bytes=0-1"}})
	if again := r.ok(complete(partList(e1, e2, e3))); between(again.body, "<ETag>", "</ETag>") != "&quot;"+want+"&quot;" {
		t.Errorf("complete, sent again: %s", again.body)
	}
	rep = r.ok(req{method: "GET", target: target + "?attributes", headers: []string{"x-amz-object-attributes: ETag,ObjectParts,ObjectSize,StorageClass,Checksum", "x-amz-max-parts: 2"}})
	if between(rep.body, "<PartsCount>", "<") != "3" || strings.Count(rep.body, "<Part>") != 2 || between(rep.body, "<ETag>", "<") != want ||
		between(rep.body, "<ObjectSize>", "<") != strconv.Itoa(len(whole)) || between(rep.body, "<StorageClass>", "<") != "STANDARD" || rep.header.Get("Last-Modified") == "" {
		t.Errorf("attributes: %s", rep.body)
	}
	r.want(400, "InvalidArgument", req{method: "GET", target: target + "?attributes", headers: []string{"x-amz-object-attributes: Nonsense"}})
	r.want(400, "InvalidRequest", req{method: "GET", target: target + "?attributes", headers: []string{"x-amz-object-attributes:"}})
	r.want(400, "InvalidRequest", req{method: "GET", target: target + "?attributes"})
}

func TestMultipartLimits(t *testing.T) {
	r := newStoreRig(t, func(o *Options) { o.Limits = Limits{} })
	const target = "/bucket/multi"
	id := r.begin(target)
	e1, e2 := r.part(target, id, 1, "small"), r.part(target, id, 2, "small too")
	r.want(400, "EntityTooSmall", req{method: "POST", target: target + "?uploadId=" + id, body: partList(e1, e2)})
	for _, n := range []string{"0", "-1", "10001", "x", ""} {
		r.want(400, "InvalidArgument", req{method: "PUT", target: target + "?uploadId=" + id + "&partNumber=" + n, body: "x"})
	}
	for _, bad := range []string{"x", "", strings.Repeat("0", 32), strings.Repeat("g", 32)} {
		r.want(404, "NoSuchUpload", req{method: "PUT", target: target + "?partNumber=1&uploadId=" + bad, body: "x"})
		r.want(404, "NoSuchUpload", req{method: "GET", target: target + "?uploadId=" + bad})
		r.want(404, "NoSuchUpload", req{method: "DELETE", target: target + "?uploadId=" + bad})
		r.want(404, "NoSuchUpload", req{method: "POST", target: target + "?uploadId=" + bad, body: partList(e1)})
	}
	r.want(204, "", req{method: "DELETE", target: target + "?uploadId=" + id})
	r.want(404, "NoSuchUpload", req{method: "DELETE", target: target + "?uploadId=" + id})
	expect := []string{"Expect: 100-continue"}
	r.want(400, "EntityTooLarge", req{method: "PUT", target: "/bucket/k", length: "5368709121", payload: "UNSIGNED-PAYLOAD", headers: expect})
	r.want(400, "EntityTooLarge", req{method: "PUT", target: target + "?partNumber=1&uploadId=" + id, length: "5368709121", payload: "UNSIGNED-PAYLOAD", headers: expect})
}

// TestCompletionRefusesChecksumsItCannotCompare: whoever sends one relies on its being compared.
func TestCompletionRefusesChecksumsItCannotCompare(t *testing.T) {
	r := newStoreRig(t)
	const sha = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	for _, tc := range []struct{ begin, complete, code string }{
		{"", "x-amz-checksum-crc32: AAAAAA==", "InvalidRequest"},
		{"", "x-amz-checksum-crc32: nonsense", "BadDigest"},
		{"", "x-amz-checksum-type: COMPOSITE", "InvalidRequest"},
		{"", "x-amz-checksum-type: SOMETHING", "InvalidRequest"},
		{"CRC32", "x-amz-checksum-sha256: nonsense", "BadDigest"},
		{"CRC32", "x-amz-checksum-sha256: " + sha, "InvalidRequest"},
		{"CRC32", "x-amz-checksum-sha512: abc", "InvalidRequest"},
		{"CRC32", "x-amz-checksum-crc32: AAAAAA==\nx-amz-checksum-sha256: " + sha, "InvalidRequest"},
		{"CRC32", "x-amz-checksum-crc32: AAAAAA==", "BadDigest"},
		{"CRC32", "x-amz-checksum-type: FULL_OBJECT", "InvalidRequest"},
		{"", "x-amz-checksum-type: FULL_OBJECT", ""},
		{"", "", ""}, {"CRC32", "", ""}, {"CRC32", "x-amz-checksum-type: COMPOSITE", ""},
	} {
		var begin, sum, headers []string
		if tc.begin != "" {
			begin, sum = []string{"x-amz-checksum-algorithm: " + tc.begin}, []string{sumHeaderOf(ondisk.ChecksumCRC32, "body")}
		}
		if tc.complete != "" {
			headers = strings.Split(tc.complete, "\n")
		}
		id := r.begin("/bucket/multi", begin...)
		e := r.part("/bucket/multi", id, 1, "body", sum...)
		rep := r.do(req{method: "POST", target: "/bucket/multi?uploadId=" + id, body: partList(e), headers: headers})
		if status := map[bool]int{true: 200, false: 400}[tc.code == ""]; rep.status != status || rep.code() != tc.code {
			t.Errorf("begun with %q, completed with %q: %d %s, want %d %s", tc.begin, tc.complete, rep.status, rep.body, status, tc.code)
		}
	}
}

// TestEmptyPartHasNoRange: no Content-Range can name no bytes, so there is none and no 206.
func TestEmptyPartHasNoRange(t *testing.T) {
	r := newStoreRig(t, func(o *Options) { o.Limits.MinPart = 1 })
	const target = "/bucket/multi"
	id := r.begin(target)
	e1, e2 := r.part(target, id, 1, "one"), r.part(target, id, 2, "")
	r.ok(req{method: "POST", target: target + "?uploadId=" + id, body: partList(e1, e2)})
	for _, method := range []string{"GET", "HEAD"} {
		rep := r.want(200, "", req{method: method, target: target + "?partNumber=2"})
		if rep.body != "" || rep.header.Get("Content-Length") != "0" || rep.header.Get("Content-Range") != "" || rep.header.Get("x-amz-mp-parts-count") != "2" {
			t.Errorf("%s of the empty part: %v", method, rep.header)
		}
		rep = r.want(206, "", req{method: method, target: target + "?partNumber=1"})
		if rep.header.Get("Content-Range") != "bytes 0-2/3" {
			t.Errorf("%s of the first part: %v", method, rep.header)
		}
	}
}

// TestPartNumberNeverMeansTheObject: what was meant for a part does not happen to the object.
func TestPartNumberNeverMeansTheObject(t *testing.T) {
	r := newStoreRig(t)
	r.ok(req{method: "PUT", target: "/bucket/key", body: "stays"})
	r.want(400, "InvalidArgument", req{method: "DELETE", target: "/bucket/key?partNumber=1"})
	r.want(400, "InvalidArgument", req{method: "PUT", target: "/bucket/key?partNumber=1", body: "x"})
	r.want(400, "InvalidArgument", req{method: "PUT", target: "/bucket/key?partNumber=1", headers: []string{"x-amz-copy-source: /bucket/other"}})
	id := r.begin("/bucket/multi")
	r.want(400, "InvalidArgument", req{method: "DELETE", target: "/bucket/multi?partNumber=1&uploadId=" + id})
	r.ok(req{method: "GET", target: "/bucket/multi?uploadId=" + id})
	if rep := r.ok(req{method: "GET", target: "/bucket/key"}); rep.body != "stays" {
		t.Errorf("the object: %q", rep.body)
	}
}

func TestNumbersAndMarkersAreReadExactly(t *testing.T) {
	r := newStoreRig(t)
	id := r.begin("/bucket/multi")
	for _, query := range []string{"max-keys=%2B5", "list-type=2&max-keys=%2B5", "max-keys=2147483648", "max-keys=+5", "uploads&max-uploads=%2B5",
		"uploads&key-marker=a&upload-id-marker=" + id + "00", "uploads&key-marker=a&upload-id-marker=" + id[:30], "versions&max-keys=%2B5"} {
		r.want(400, "InvalidArgument", req{method: "GET", target: "/bucket?" + query})
	}
	for _, query := range []string{"max-parts=%2B5", "part-number-marker=%2B5"} {
		r.want(400, "InvalidArgument", req{method: "GET", target: "/bucket/multi?uploadId=" + id + "&" + query})
	}
	r.ok(req{method: "PUT", target: "/bucket/key"})
	for _, h := range []string{"x-amz-max-parts: +5", "x-amz-part-number-marker: +5"} {
		r.want(400, "InvalidArgument", req{method: "GET", target: "/bucket/key?attributes", headers: []string{"x-amz-object-attributes: ETag", h}})
	}
	r.ok(req{method: "GET", target: "/bucket?uploads&key-marker=a&upload-id-marker=" + id})
	r.ok(req{method: "GET", target: "/bucket?max-keys=2147483647"})
}

// TestPartsAreCountedWithoutGaps: the parts that attributes show are those that partNumber reads.
func TestPartsAreCountedWithoutGaps(t *testing.T) {
	r := newStoreRig(t, func(o *Options) { o.Limits.MinPart = 1 })
	const target = "/bucket/multi"
	id := r.begin(target)
	e1, e7 := r.part(target, id, 1, "one"), r.part(target, id, 7, "seven")
	r.want(200, "", req{method: "POST", target: target + "?uploadId=" + id, body: strings.Replace(partList(e1, e7), "<PartNumber>2<", "<PartNumber>7<", 1)})
	rep := r.ok(req{method: "GET", target: target + "?attributes", headers: []string{"x-amz-object-attributes: ObjectParts"}})
	if strings.Contains(rep.body, ">7<") || !strings.Contains(rep.body, "<PartNumber>2</PartNumber>") {
		t.Errorf("attributes: %s", rep.body)
	}
	if got := r.ok(req{method: "GET", target: target + "?partNumber=2"}); got.body != "seven" {
		t.Errorf("part 2: %q", got.body)
	}
}

func TestLargestObject(t *testing.T) {
	r := newStoreRig(t, func(o *Options) { o.Limits.MinPart, o.Limits.MaxObject = 1, 13 })
	const target = "/bucket/multi"
	id := r.begin(target)
	e1, e2, e3 := r.part(target, id, 1, "1234567"), r.part(target, id, 2, "890123"), r.part(target, id, 3, "4")
	r.want(400, "EntityTooLarge", req{method: "POST", target: target + "?uploadId=" + id, body: partList(e1, e2, e3)})
	r.want(200, "", req{method: "POST", target: target + "?uploadId=" + id, body: partList(e1, e2)})
}

func TestMultipartChecksums(t *testing.T) {
	r := newStoreRig(t)
	p1, p2 := sample(5*mib), sample(1000)
	for _, a := range checksum.Algorithms() {
		for _, composite := range []bool{true, false} {
			if !checksum.Allowed(a, composite) {
				continue
			}
			kind := checksum.TypeName(composite)
			t.Run(checksum.Name(a)+" "+kind, func(t *testing.T) {
				target := "/bucket/" + checksum.Name(a) + kind
				id := r.begin(target, "x-amz-checksum-algorithm: "+checksum.Name(a), "x-amz-checksum-type: "+kind)
				bare := req{method: "PUT", target: target + "?partNumber=1&uploadId=" + id, body: p1}
				if composite {
					r.want(400, "InvalidRequest", bare)
				} else if rep := r.ok(bare); checksum.Header(a)+": "+rep.header.Get(checksum.Header(a)) != sumHeaderOf(a, p1) {
					t.Errorf("a part without a checksum: %v", rep.header)
				}
				e1, e2 := r.part(target, id, 1, p1, sumHeaderOf(a, p1)), r.part(target, id, 2, p2, sumHeaderOf(a, p2))
				sum := checksum.NewCombiner(a, composite)
				for _, p := range []string{p1, p2} {
					h := checksum.New(a)
					h.Write([]byte(p))
					sum.Add(h.Sum(nil), int64(len(p)))
				}
				want := checksum.Format(sum.Checksum(), 2)
				wrong := base64.StdEncoding.EncodeToString(make([]byte, checksum.Size(a)))
				complete := req{method: "POST", target: target + "?uploadId=" + id, body: partList(e1, e2)}
				if composite {
					complete.headers = []string{checksum.Header(a) + ": " + strings.TrimSuffix(want, "2") + "9"}
					r.want(400, "BadDigest", complete)
				}
				complete.headers = []string{checksum.Header(a) + ": " + wrong}
				r.want(400, "BadDigest", complete)
				complete.headers = []string{checksum.Header(a) + ": " + want, "x-amz-checksum-type: " + kind}
				rep := r.ok(complete)
				if between(rep.body, "<"+checksum.Element(a)+">", "<") != want || between(rep.body, "<ChecksumType>", "<") != kind {
					t.Errorf("complete: %s, want %s", rep.body, want)
				}
				head := r.ok(req{method: "HEAD", target: target, headers: []string{"x-amz-checksum-mode: ENABLED"}})
				if head.header.Get(checksum.Header(a)) != want || head.header.Get("x-amz-checksum-type") != kind {
					t.Errorf("HEAD: %v", head.header)
				}
				rep = r.ok(req{method: "GET", target: target + "?attributes", headers: []string{"x-amz-object-attributes: Checksum,ObjectParts"}})
				if strings.Count(rep.body, "<"+checksum.Element(a)+">") != 3 {
					t.Errorf("attributes: %s", rep.body)
				}
			})
		}
	}
	r.want(400, "InvalidRequest", req{method: "POST", target: "/bucket/k?uploads", headers: []string{"x-amz-checksum-algorithm: SHA1", "x-amz-checksum-type: FULL_OBJECT"}})
	r.want(400, "InvalidRequest", req{method: "POST", target: "/bucket/k?uploads", headers: []string{"x-amz-checksum-type: FULL_OBJECT"}})
	r.want(400, "InvalidRequest", req{method: "POST", target: "/bucket/k?uploads", headers: []string{"x-amz-checksum-algorithm: MD4"}})
}

func TestUploadPartCopy(t *testing.T) {
	r := newStoreRig(t)
	src := sample(6 * mib)
	r.ok(req{method: "PUT", target: "/bucket/src", body: src})
	r.ok(req{method: "PUT", target: "/bucket/empty"})
	const target = "/bucket/dst"
	id := r.begin(target, "x-amz-checksum-algorithm: CRC32")
	cp := func(n int, source string, headers ...string) req {
		return req{method: "PUT", target: fmt.Sprintf("%s?partNumber=%d&uploadId=%s", target, n, id), headers: append(headers, "x-amz-copy-source: "+source)}
	}
	rep := r.ok(cp(1, "/bucket/src", fmt.Sprintf("x-amz-copy-source-range: bytes=0-%d", 5*mib-1)))
	e1 := strings.Trim(between(rep.body, "<ETag>", "</ETag>"), "&quot;")
	if e1 != etagOf(src[:5*mib]) || between(rep.body, "<ChecksumCRC32>", "<") == "" {
		t.Errorf("part 1: %s", rep.body)
	}
	rep = r.ok(cp(2, "/bucket/src"))
	e2 := strings.Trim(between(rep.body, "<ETag>", "</ETag>"), "&quot;")
	e3 := strings.Trim(between(r.ok(cp(3, "/bucket/empty")).body, "<ETag>", "</ETag>"), "&quot;")
	r.want(416, "InvalidRange", cp(4, "/bucket/src", fmt.Sprintf("x-amz-copy-source-range: bytes=0-%d", 6*mib)))
	for _, bad := range []string{"bytes=5", "bytes=-5", "bytes=5-", "0-5", "bytes=5-3", "bytes=0-1,3-4"} {
		r.want(400, "InvalidArgument", cp(4, "/bucket/src", "x-amz-copy-source-range: "+bad))
	}
	r.want(404, "NoSuchKey", cp(4, "/bucket/none"))
	r.want(412, "PreconditionFailed", cp(4, "/bucket/src", "x-amz-copy-source-if-match: abc"))
	r.ok(req{method: "POST", target: target + "?uploadId=" + id, body: partList(e1, e2, e3)})
	want := src[:5*mib] + src
	get := r.ok(req{method: "GET", target: target, headers: []string{"x-amz-checksum-mode: ENABLED"}})
	if get.body != want || get.header.Get(checksum.Header(ondisk.ChecksumCRC32)) == "" {
		t.Errorf("the object: %d bytes, want %d", len(get.body), len(want))
	}
}
