package s3light

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
)

// Listing is the part of a ListObjectsV2 answer that the scripts use.
type Listing struct {
	IsTruncated           bool
	NextContinuationToken string
	Contents              []struct {
		Key  string
		ETag string
		Size int64
	}
}

// List reads one page of at most max keys.
func (c *Conn) List(bucket, prefix, token string, max int) (*Listing, error) {
	if err := c.Do(ListRequest(bucket, prefix, token, max)); err != nil {
		return nil, err
	}
	var l Listing
	if err := xml.Unmarshal(c.Body, &l); err != nil {
		return nil, fmt.Errorf("list %s: %w", bucket, err)
	}
	return &l, nil
}

// ListRequest is the ListObjectsV2 call of List, for a caller that wants the raw answer.
func ListRequest(bucket, prefix, token string, max int) *Request {
	q := ""
	if token != "" {
		q = "continuation-token=" + Escape(token) + "&"
	}
	q += "list-type=2&max-keys=" + strconv.Itoa(max)
	if prefix != "" {
		q += "&prefix=" + Escape(prefix)
	}
	return &Request{Method: "GET", Bucket: bucket, Query: q, Collect: true}
}

// Walk calls fn for every page below prefix.
func (c *Conn) Walk(bucket, prefix string, fn func(*Listing) error) error {
	token := ""
	for {
		l, err := c.List(bucket, prefix, token, 1000)
		if err != nil {
			return err
		}
		if err := fn(l); err != nil {
			return err
		}
		if !l.IsTruncated {
			return nil
		}
		token = l.NextContinuationToken
	}
}

// MakeBucket creates a bucket.
func (c *Conn) MakeBucket(bucket string) error {
	return c.Do(&Request{Method: "PUT", Bucket: bucket})
}

// DeleteKeys removes up to 1000 keys with one DeleteObjects call.
func (c *Conn) DeleteKeys(bucket string, keys []string) error {
	var b bytes.Buffer
	b.WriteString(`<Delete><Quiet>true</Quiet>`)
	for _, k := range keys {
		b.WriteString("<Object><Key>")
		if err := xml.EscapeText(&b, []byte(k)); err != nil {
			return err
		}
		b.WriteString("</Key></Object>")
	}
	b.WriteString("</Delete>")
	r := &Request{
		Method: "POST", Bucket: bucket, Query: "delete=", Body: b.Bytes(), Collect: true,
		Header: []Header{{"content-md5", ContentMD5(b.Bytes())}},
	}
	if err := c.Do(r); err != nil {
		return err
	}
	if i := bytes.Index(c.Body, []byte("<Error>")); i >= 0 {
		return fmt.Errorf("delete of %d keys in %s: %.300s", len(keys), bucket, c.Body[i:])
	}
	return nil
}

// Empty deletes every object below prefix that one walk meets.
func (c *Conn) Empty(bucket, prefix string) error {
	return c.Walk(bucket, prefix, func(l *Listing) error {
		if len(l.Contents) == 0 {
			return nil
		}
		keys := make([]string, len(l.Contents))
		for i := range l.Contents {
			keys[i] = l.Contents[i].Key
		}
		return c.DeleteKeys(bucket, keys)
	})
}
