package s3api

import (
	"strings"

	"holdfast/s3api/s3err"
	"holdfast/s3api/s3xml"
)

// level is what a request's address names.
type level uint8

const (
	levelService level = iota
	levelBucket
	levelObject
)

// handler serves one operation. An error becomes the answer; without one the handler has answered.
type handler func(*call) error

// route is one operation of S3: how a request for it is recognised, the IAM action that a
// principal needs, and what serves it. Without a handler it is an operation of S3 that this server
// does not have, and says so.
type route struct {
	op      string
	action  string
	level   level
	method  string
	query   string // parameters that must be there, "name" or "name=value", separated by "&"
	headers string // a header that must be there
	handler handler
	body    bodyKind
	limit   int64             // of a document, in bytes
	early   func(*call) error // what the handler refuses by the head alone, asked before a client is told to send its body
	index   int               // into metrics.ops
	sub     bool              // query names a sub-resource
}

// bodyKind says what a route does with the request body, which decides what is refused before
// the body is read.
type bodyKind uint8

const (
	bodyNone       bodyKind = iota // ignored
	bodyDocument                   // an XML document
	bodyCompletion                 // likewise, but checksum headers speak of the object
	bodyObject                     // object data: a length must be known and is limited
)

// table is the one list of all operations. Of those that fit a request the first one counts, so
// operations with conditions stand before the plain ones.
func table() []route {
	const bucket, object = levelBucket, levelObject
	rows := []route{
		{op: "ListBuckets", action: "s3:ListAllMyBuckets", level: levelService, method: "GET", handler: listBuckets},

		{op: "ListObjectsV2", action: "s3:ListBucket", level: bucket, method: "GET", query: "list-type=2", handler: listObjectsV2},
		{op: "ListObjectVersions", action: "s3:ListBucketVersions", level: bucket, method: "GET", query: "versions", handler: listVersions},
		{op: "ListMultipartUploads", action: "s3:ListBucketMultipartUploads", level: bucket, method: "GET", query: "uploads", handler: listUploads},
		{op: "GetBucketLocation", action: "s3:GetBucketLocation", level: bucket, method: "GET", query: "location", handler: getBucketLocation},
		{op: "GetBucketVersioning", action: "s3:GetBucketVersioning", level: bucket, method: "GET", query: "versioning", handler: getBucketVersioning},
		{op: "PutBucketVersioning", action: "s3:PutBucketVersioning", level: bucket, method: "PUT", query: "versioning", handler: putBucketVersioning, body: bodyDocument, limit: s3xml.MaxVersioningBody},
		{op: "ListObjects", action: "s3:ListBucket", level: bucket, method: "GET", handler: listObjects},
		{op: "HeadBucket", action: "s3:ListBucket", level: bucket, method: "HEAD", handler: headBucket},
		{op: "CreateBucket", action: "s3:CreateBucket", level: bucket, method: "PUT", handler: createBucket, body: bodyDocument, limit: s3xml.MaxCreateBucketBody, early: headOfBucket},
		{op: "DeleteBucket", action: "s3:DeleteBucket", level: bucket, method: "DELETE", handler: deleteBucket},
		{op: "DeleteObjects", action: "s3:DeleteObject", level: bucket, method: "POST", query: "delete", handler: deleteObjects, body: bodyDocument, limit: s3xml.MaxDeleteBody},
		{op: "PostObject", action: "s3:PutObject", level: bucket, method: "POST"},

		{op: "ListParts", action: "s3:ListMultipartUploadParts", level: object, method: "GET", query: "uploadId", handler: listParts},
		{op: "GetObjectAttributes", action: "s3:GetObjectAttributes", level: object, method: "GET", query: "attributes", handler: getObjectAttributes},
		{op: "GetObjectTagging", action: "s3:GetObjectTagging", level: object, method: "GET", query: "tagging", handler: getObjectTagging},
		{op: "GetObject", action: "s3:GetObject", level: object, method: "GET", handler: getObject},
		{op: "HeadObject", action: "s3:GetObject", level: object, method: "HEAD", handler: headObject},
		{op: "UploadPartCopy", action: "s3:PutObject", level: object, method: "PUT", query: "uploadId&partNumber", headers: "x-amz-copy-source", handler: uploadPartCopy},
		{op: "UploadPart", action: "s3:PutObject", level: object, method: "PUT", query: "uploadId&partNumber", handler: uploadPart, body: bodyObject, early: headOfPart},
		{op: "CopyObject", action: "s3:PutObject", level: object, method: "PUT", headers: "x-amz-copy-source", handler: copyObject},
		{op: "PutObject", action: "s3:PutObject", level: object, method: "PUT", handler: putObject, body: bodyObject, early: headOfObject},
		{op: "CreateMultipartUpload", action: "s3:PutObject", level: object, method: "POST", query: "uploads", handler: createUpload},
		{op: "CompleteMultipartUpload", action: "s3:PutObject", level: object, method: "POST", query: "uploadId", handler: completeUpload, body: bodyCompletion, limit: s3xml.MaxCompleteBody, early: headOfCompletion},
		{op: "AbortMultipartUpload", action: "s3:AbortMultipartUpload", level: object, method: "DELETE", query: "uploadId", handler: abortUpload},
		{op: "DeleteObject", action: "s3:DeleteObject", level: object, method: "DELETE", handler: deleteObject},
	}
	return append(rows, missing()...)
}

// missing lists the operations of S3 that this server does not have: sub-resource, level, methods.
func missing() []route {
	var rows []route
	add := func(l level, methods string, subs ...string) {
		for _, sub := range subs {
			for m := range strings.FieldsSeq(methods) {
				rows = append(rows, route{op: "Unimplemented", action: "s3:Unimplemented", level: l, method: m, query: sub})
			}
		}
	}
	add(levelBucket, "GET PUT DELETE", "analytics", "cors", "encryption", "intelligent-tiering", "inventory",
		"lifecycle", "metrics", "ownershipControls", "policy", "publicAccessBlock", "replication", "tagging", "website")
	add(levelBucket, "GET PUT", "accelerate", "acl", "logging", "notification", "object-lock", "requestPayment", "abac")
	add(levelBucket, "PUT", "metadataInventoryTable", "metadataJournalTable")
	add(levelBucket, "GET", "policyStatus", "session", "events")
	add(levelBucket, "GET POST DELETE", "metadataTable", "metadataConfiguration")
	add(levelObject, "GET PUT", "acl", "legal-hold", "retention")
	add(levelObject, "PUT DELETE", "tagging")
	add(levelObject, "GET", "torrent")
	add(levelObject, "PUT", "renameObject", "encryption", "append")
	add(levelObject, "POST", "restore", "select", "lambda")
	return rows
}

// router finds the route of a request.
type router struct {
	rows  []route
	plain map[place]*route   // routes without conditions
	cond  map[place][]*route // routes with conditions, in order
	subs  map[string]bool    // every parameter name that some route asks for
	own   route              // health and metrics
	none  route              // requests that were not understood

	getObject route // what reading the source of a copy needs
}

type place struct {
	level  level
	method string
}

func newRouter(rows []route) *router {
	r := &router{
		rows:      rows,
		plain:     make(map[place]*route),
		cond:      make(map[place][]*route),
		subs:      make(map[string]bool),
		own:       route{op: "Own"},
		none:      route{op: "Unknown"},
		getObject: route{op: "GetObject", action: "s3:GetObject"},
	}
	for i := range rows {
		row := &rows[i]
		at := place{row.level, row.method}
		if row.query == "" && row.headers == "" {
			r.plain[at] = row
		} else {
			r.cond[at] = append(r.cond[at], row)
		}
		for _, need := range strings.Split(row.query, "&") {
			if name, _, _ := strings.Cut(need, "="); name != "" {
				r.subs[name] = true
			}
		}
	}
	// These choose among plain reads and lists, not among operations.
	delete(r.subs, "partNumber")
	delete(r.subs, "list-type")
	for i := range rows {
		name, _, _ := strings.Cut(rows[i].query, "&")
		rows[i].sub = r.subs[name]
	}
	return r
}

// ops numbers the routes for the metrics and returns their names.
func (r *router) ops() []string {
	var names []string
	index := make(map[string]int)
	number := func(row *route) {
		if _, ok := index[row.op]; !ok {
			index[row.op] = len(names)
			names = append(names, row.op)
		}
		row.index = index[row.op]
	}
	for i := range r.rows {
		number(&r.rows[i])
	}
	number(&r.own)
	number(&r.none)
	return names
}

// find returns the route of a request. A sub-resource that S3 does not know is ignored, as S3
// does; one that exists but not with this method is MethodNotAllowed; never is a request that
// names a sub-resource served as if it did not.
func (r *router) find(req *request, l level) (*route, error) {
	at := place{l, req.Method}
	asked := r.asked(req)
	for _, row := range r.cond[at] {
		if row.sub == (asked != "") && row.fits(req) {
			if err := r.conflict(req, row); err != nil {
				return row, err
			}
			return row, row.strayPart(req)
		}
	}
	row := r.plain[at]
	if row == nil || asked != "" {
		return &r.none, s3err.MethodNotAllowed.With("Method", req.Method).With("ResourceType", r.resourceType(req, l))
	}
	return row, row.strayPart(req)
}

// strayPart refuses a change of an object that names a part where none can be meant: what was meant
// for a part must not happen to the object.
func (row *route) strayPart(req *request) error {
	if _, ok := req.Param("partNumber"); !ok || row.level != levelObject || row.asks("partNumber") || row.handler == nil ||
		row.method != "PUT" && row.method != "DELETE" && row.method != "POST" {
		return nil
	}
	return s3err.InvalidArgument.Msg("%s knows no partNumber; UploadPart needs an uploadId as well.", row.op).With("ArgumentName", "partNumber")
}

// asked returns the first sub-resource that the request names.
func (r *router) asked(req *request) string {
	for i := range req.Params {
		if r.subs[req.Params[i].Name] {
			return req.Params[i].Name
		}
	}
	return ""
}

// conflict refuses a request that names a sub-resource beside its route's own.
func (r *router) conflict(req *request, row *route) error {
	for i := range req.Params {
		name := req.Params[i].Name
		if r.subs[name] && !row.asks(name) {
			return s3err.InvalidArgument.Msg("Conflicting query string parameters: %s, %s", row.query, name).
				With("ArgumentName", "ResourceType").With("ArgumentValue", name)
		}
	}
	return nil
}

func (r *router) resourceType(req *request, l level) string {
	if sub := r.asked(req); sub != "" {
		return strings.ToUpper(sub)
	}
	return [...]string{"SERVICE", "BUCKET", "OBJECT"}[l]
}

// fits says whether a request meets the route's conditions.
func (row *route) fits(req *request) bool {
	if row.headers != "" && !req.has(row.headers) {
		return false
	}
	for rest := row.query; rest != ""; {
		var need string
		need, rest, _ = strings.Cut(rest, "&")
		name, want, valued := strings.Cut(need, "=")
		got, ok := req.Param(name)
		if !ok || valued && got != want {
			return false
		}
	}
	return true
}

// asks says whether the route names a parameter in its conditions.
func (row *route) asks(name string) bool {
	for rest := row.query; rest != ""; {
		var need string
		need, rest, _ = strings.Cut(rest, "&")
		if n, _, _ := strings.Cut(need, "="); n == name {
			return true
		}
	}
	return false
}
