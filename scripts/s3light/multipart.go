package s3light

import (
	"crypto/md5" // the ETag and Content-MD5 of S3 are MD5 by definition
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// ContentMD5 returns the value of content-md5 for a body.
func ContentMD5(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// CreateUpload starts a multipart upload and returns its id.
func (c *Conn) CreateUpload(bucket, key string) (string, error) {
	if err := c.Do(&Request{Method: "POST", Bucket: bucket, Key: key, Query: "uploads=", Collect: true}); err != nil {
		return "", err
	}
	var res struct {
		UploadID string `xml:"UploadId"`
	}
	if err := xml.Unmarshal(c.Body, &res); err != nil {
		return "", fmt.Errorf("create upload %s/%s: %w", bucket, key, err)
	}
	return res.UploadID, nil
}

// PutPart uploads part number (from 1) with the bucket, key and body of r, and returns its ETag.
func (c *Conn) PutPart(r Request, upload string, number int) (string, error) {
	r.Method = "PUT"
	r.Query = "partNumber=" + strconv.Itoa(number) + "&uploadId=" + Escape(upload)
	if err := c.Do(&r); err != nil {
		return "", err
	}
	return string(c.ETag()), nil
}

// Complete ends an upload of the parts 1..len(etags), with conditions in header if any. S3 may answer 200
// and report an error in the body; that is an error here.
func (c *Conn) Complete(bucket, key, upload string, etags []string, header ...Header) error {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for i, e := range etags {
		fmt.Fprintf(&b, `<Part><PartNumber>%d</PartNumber><ETag>"%s"</ETag></Part>`, i+1, e)
	}
	b.WriteString("</CompleteMultipartUpload>")
	r := Request{
		Method: "POST", Bucket: bucket, Key: key, Query: "uploadId=" + Escape(upload),
		Body: []byte(b.String()), Collect: true, Header: header,
	}
	if err := c.Do(&r); err != nil {
		return err
	}
	if s := string(c.Body); strings.Contains(s, "<Error>") {
		return &StatusError{Method: "POST", Path: bucket + "/" + key, Status: 500, Body: s}
	}
	return nil
}
