package s3api

import (
	"strings"

	"holdfast/s3api/s3err"
)

// splitTarget takes apart the origin form or the absolute form of a request target. fasthttp's own
// URI type is never asked: it decodes, collapses slashes and resolves dots, while a key is exactly
// the bytes the client meant.
func splitTarget(raw string) (path, query string, err error) {
	if strings.IndexByte(raw, '#') >= 0 {
		return "", "", s3err.InvalidURI
	}
	if !strings.HasPrefix(raw, "/") {
		_, rest, ok := strings.Cut(raw, "://")
		if !ok {
			return "", "", s3err.InvalidURI
		}
		at := strings.IndexAny(rest, "/?")
		switch {
		case at < 0:
			raw = "/"
		case rest[at] == '?':
			raw = "/" + rest[at:]
		default:
			raw = rest[at:]
		}
	}
	path, query, _ = strings.Cut(raw, "?")
	return path, query, nil
}

// address says which bucket and key a request is for; both are empty for the service itself.
type address struct {
	bucket string // decoded, not validated
	key    string // decoded, not validated
	vhost  bool   // the bucket came from the Host header
}

// splitAddress finds bucket and key in a decoded path. The bucket is whatever stands before a
// served domain in Host (virtual-host style), else the first segment of the path. The path is
// decoded before it is split, because that is what the signature covers: an encoded slash is a slash.
func splitAddress(path, host string, domains []string) (address, error) {
	if bucket := bucketOfHost(host, domains); bucket != "" {
		return address{bucket: bucket, key: path[1:], vhost: true}, nil
	}
	if path == "/" {
		return address{}, nil
	}
	bucket, key, _ := strings.Cut(path[1:], "/")
	if bucket == "" {
		return address{}, s3err.InvalidBucketName
	}
	return address{bucket: bucket, key: key}, nil
}

// bucketOfHost returns the part of host before ".domain", for the first domain that fits.
func bucketOfHost(host string, domains []string) string {
	if len(domains) == 0 {
		return ""
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 && strings.IndexByte(host[at:], ']') < 0 {
		host = host[:at]
	}
	for _, d := range domains {
		cut := len(host) - len(d) - 1
		if cut > 0 && host[cut] == '.' && strings.EqualFold(host[cut+1:], d) {
			return strings.ToLower(host[:cut])
		}
	}
	return ""
}
