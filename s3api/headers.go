package s3api

import (
	"mime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"holdfast/actors/erasureset"
	"holdfast/actors/ondisk"
	"holdfast/s3api/s3err"
)

const (
	metaPrefix  = "x-amz-meta-"
	maxUserMeta = 2 << 10 // bytes of names and values together, as in S3
	standard    = "STANDARD"
	awsChunked  = "aws-chunked"
	binaryType  = "binary/octet-stream" // what S3 says of an object whose type nobody told
)

// refuseHeaders refuses requests whose headers ask for something that this server does not have.
// To ignore them would be to do less than was asked and call it done.
func (c *call) refuseHeaders() error {
	for i := range c.req.Headers {
		f := &c.req.Headers[i]
		if len(f.Name) < 8 || f.Name[:6] != "x-amz-" || f.Value == "" {
			continue
		}
		name, value := f.Name, f.Value
		switch {
		case name == "x-amz-acl":
			if !cannedACL(value) {
				return s3err.InvalidArgument.With("ArgumentName", name).With("ArgumentValue", value)
			}
		case strings.HasPrefix(name, "x-amz-grant-"), name == "x-amz-tagging", name == "x-amz-write-offset-bytes",
			name == "x-amz-mfa", name == "x-amz-rename-source":
			return s3err.UnsupportedHeader.With("Header", name)
		case strings.HasPrefix(name, "x-amz-server-side-encryption"), strings.HasPrefix(name, "x-amz-copy-source-server-side-encryption"):
			return s3err.EncryptionNotSupported.With("Header", name)
		case name == "x-amz-object-lock-mode", name == "x-amz-object-lock-retain-until-date", name == "x-amz-object-lock-legal-hold":
			return s3err.InvalidRequest.Msg("Bucket is missing Object Lock Configuration")
		case name == "x-amz-bucket-object-lock-enabled":
			if !strings.EqualFold(value, "false") {
				return s3err.UnsupportedHeader.With("Header", name)
			}
		case name == "x-amz-object-ownership":
			if value != "BucketOwnerEnforced" {
				return s3err.UnsupportedHeader.With("Header", name)
			}
		case name == "x-amz-storage-class":
			if err := checkStorageClass(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// cannedACL says whether S3 knows a canned ACL. They are accepted without effect: everything stays
// private to those who have a right by policy, which is never more than was asked for. Many tools
// send one with every upload. Operations on ACLs themselves are not implemented.
func cannedACL(s string) bool {
	switch s {
	case "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read",
		"bucket-owner-read", "bucket-owner-full-control", "log-delivery-write":
		return true
	}
	return false
}

// checkStorageClass accepts the classes from which an object can be read at once. They are kept as
// a label; those that need a restore are refused, for there is nothing to restore from.
func checkStorageClass(s string) error {
	switch s {
	case standard, "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR":
		return nil
	}
	return s3err.InvalidStorageClass.With("StorageClassRequested", s)
}

// metadata reads what a client can say about an object.
func (c *call) metadata() (erasureset.Info, error) {
	r := &c.req
	v := erasureset.Info{Owner: c.who.accessKey()}
	size := 0
	for i := range r.Headers {
		f := &r.Headers[i]
		switch f.Name {
		case "content-type":
			v.ContentType = f.Value
		case "cache-control":
			v.CacheControl = f.Value
		case "content-disposition":
			v.ContentDisposition = f.Value
		case "content-encoding":
			v.ContentEncoding = withoutChunked(f.Value)
		case "content-language":
			v.ContentLanguage = f.Value
		case "expires":
			v.Expires = f.Value
		case "x-amz-website-redirect-location":
			if !strings.HasPrefix(f.Value, "/") && !strings.HasPrefix(f.Value, "http://") && !strings.HasPrefix(f.Value, "https://") {
				return v, s3err.InvalidRedirectLocation
			}
			v.Website = f.Value
		case "x-amz-storage-class":
			if f.Value != standard {
				v.StorageClass = f.Value
			}
		default:
			if name, ok := strings.CutPrefix(f.Name, metaPrefix); ok && name != "" {
				value := utf8Text(f.Value)
				size += len(name) + len(value)
				v.UserMeta = addMeta(v.UserMeta, name, value)
			}
		}
	}
	if size > maxUserMeta {
		return v, s3err.MetadataTooLarge.With("Size", strconv.Itoa(size)).With("MaxSizeAllowed", strconv.Itoa(maxUserMeta))
	}
	slices.SortFunc(v.UserMeta, func(a, b ondisk.Pair) int { return strings.Compare(a.Name, b.Name) })
	return v, nil
}

// addMeta adds a user metadata value; values of one name are joined, as AWS does.
func addMeta(list []ondisk.Pair, name, value string) []ondisk.Pair {
	for i := range list {
		if list[i].Name == name {
			list[i].Value += "," + value
			return list
		}
	}
	return append(list, ondisk.Pair{Name: name, Value: value})
}

// withoutChunked removes aws-chunked from a Content-Encoding: it describes the upload, not the object.
func withoutChunked(s string) string {
	if !strings.Contains(strings.ToLower(s), awsChunked) {
		return s
	}
	var keep []string
	for token := range strings.SplitSeq(s, ",") {
		if token = strings.TrimSpace(token); token != "" && !strings.EqualFold(token, awsChunked) {
			keep = append(keep, token)
		}
	}
	return strings.Join(keep, ",")
}

// objectHeaders sets the headers that tell of an object, for GET and HEAD.
func (c *call) objectHeaders(v *erasureset.Info) {
	c.identityHeaders(v)
	c.header("Accept-Ranges", "bytes")
	contentType := v.ContentType
	if contentType == "" {
		contentType = binaryType
	}
	c.override("response-content-type", "Content-Type", contentType)
	c.override("response-cache-control", "Cache-Control", v.CacheControl)
	c.override("response-content-disposition", "Content-Disposition", v.ContentDisposition)
	c.override("response-content-encoding", "Content-Encoding", v.ContentEncoding)
	c.override("response-content-language", "Content-Language", v.ContentLanguage)
	c.override("response-expires", "Expires", v.Expires)
	if v.Website != "" {
		c.header("x-amz-website-redirect-location", v.Website)
	}
	if v.StorageClass != "" {
		c.header("x-amz-storage-class", v.StorageClass)
	}
	for i := range v.UserMeta {
		c.header(metaPrefix+v.UserMeta[i].Name, metaValue(v.UserMeta[i].Value))
	}
}

// identityHeaders sets what also belongs to a 304 and a 412.
func (c *call) identityHeaders(v *erasureset.Info) {
	c.header("ETag", quoted(v.ETag))
	c.header("Last-Modified", httpDate(v.ModTime))
}

// override sets a header from a response-* parameter of the request if there is one, else to what
// the object says. Only signed requests come here.
func (c *call) override(param, name, value string) {
	if v, ok := c.req.Param(param); ok && headerSafe(v) {
		value = v
	}
	if value != "" {
		c.header(name, value)
	}
}

// headerSafe says whether a string from a query can stand in a header.
func headerSafe(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// utf8Text is the text of a header value: UTF-8, as nearly every client sends it, and where it is not,
// ISO 8859-1, which is what HTTP once said of headers and as which S3 reads them.
func utf8Text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		b = utf8.AppendRune(b, rune(s[i]))
	}
	return string(b)
}

// metaValue is a user metadata value as S3 sends it: what is not ASCII goes as RFC 2047.
func metaValue(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return mime.QEncoding.Encode("UTF-8", s)
		}
	}
	return s
}

func quoted(etag string) string { return `"` + etag + `"` }
