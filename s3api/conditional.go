package s3api

import (
	"slices"
	"strings"
	"time"

	"holdfast/actors/erasureset"
	"holdfast/actors/object"
	"holdfast/s3api/s3err"
)

// conditions are the If-* headers of a request, or the x-amz-copy-source-if-* of a copy.
type conditions struct {
	match, noneMatch          string
	hasMatch, hasNoneMatch    bool // one that is empty is a list of no tags, which none matches
	modifiedSince, unmodSince time.Time
	any                       bool
}

// notBlank refuses a condition that was sent without a value. Whoever sent it meant a guard, whose value
// they had lost: to go on as if there were none would do what it was to prevent.
func notBlank(r *request, names ...string) error {
	for i := range r.Headers {
		if h := &r.Headers[i]; slices.Contains(names, h.Name) && strings.Trim(h.Value, " \t,") == "" {
			return blankCondition(h.Name)
		}
	}
	return nil
}

func blankCondition(name string) error {
	return s3err.InvalidArgument.Msg("A condition was given without a value: %s", name).With("ArgumentName", name)
}

// conditionsOf reads conditional headers; prefix is "" or "x-amz-copy-source-". A date that cannot
// be read is ignored, as HTTP asks.
func conditionsOf(r *request, prefix string) conditions {
	c := conditions{match: r.get(prefix + "if-match"), noneMatch: r.get(prefix + "if-none-match")}
	c.hasMatch, c.hasNoneMatch = r.has(prefix+"if-match"), r.has(prefix+"if-none-match")
	c.modifiedSince, _ = parseHTTPTime(r.get(prefix + "if-modified-since"))
	c.unmodSince, _ = parseHTTPTime(r.get(prefix + "if-unmodified-since"))
	c.any = c.hasMatch || c.hasNoneMatch || !c.modifiedSince.IsZero() || !c.unmodSince.IsZero()
	return c
}

// forRead judges a GET or HEAD by RFC 9110 13.2.2: entity tags win over dates. A list may be empty (5.6.1):
// If-Match then does not hold (412), and If-None-Match holds (200).
func (c *conditions) forRead(v *erasureset.Info) error {
	modified := time.Unix(0, v.ModTime).Truncate(time.Second)
	switch {
	case c.hasMatch:
		if !etagListed(c.match, v.ETag) {
			return s3err.PreconditionFailed.With("Condition", "If-Match")
		}
	case !c.unmodSince.IsZero() && modified.After(c.unmodSince):
		return s3err.PreconditionFailed.With("Condition", "If-Unmodified-Since")
	}
	switch {
	case c.hasNoneMatch:
		if etagListed(c.noneMatch, v.ETag) {
			return object.ErrNotModified
		}
	case !c.modifiedSince.IsZero() && !modified.After(c.modifiedSince):
		return object.ErrNotModified
	}
	return nil
}

// rangeHolds judges If-Range: a range is asked for only if the object is still the one it belongs to. One
// without a value belongs to none: the answer is the whole object.
func rangeHolds(r *request, v *erasureset.Info) bool {
	if !r.has("if-range") {
		return true
	}
	ifRange := r.get("if-range")
	if at, ok := parseHTTPTime(ifRange); ok {
		return time.Unix(0, v.ModTime).Unix() == at.Unix()
	}
	return !strings.HasPrefix(ifRange, "W/") && trimQuotes(ifRange) == v.ETag
}

// forCopySource judges the source of a copy: what would be 304 for a read is 412 here.
func (c *conditions) forCopySource(v *erasureset.Info) error {
	if c.forRead(v) != nil {
		return s3err.PreconditionFailed
	}
	return nil
}

// writeCondition turns the If-* headers of a write into a condition, nil if there are none. S3
// knows "If-None-Match: *" and "If-Match: tag"; the other combinations mean what HTTP says.
func writeCondition(r *request) (erasureset.Condition, error) {
	match, noneMatch := r.get("if-match"), r.get("if-none-match")
	if err := notBlank(r, "if-match", "if-none-match"); err != nil {
		return nil, err
	}
	if r.has("if-modified-since") || r.has("if-unmodified-since") {
		return nil, s3err.UnsupportedHeader
	}
	if match == "" && noneMatch == "" {
		return nil, nil
	}
	return func(current *erasureset.Info) error {
		switch {
		case match != "" && current == nil:
			return s3err.NoSuchKey
		case match != "" && !etagListed(match, current.ETag):
			return s3err.PreconditionFailed.With("Condition", "If-Match")
		case noneMatch != "" && current != nil && etagListed(noneMatch, current.ETag):
			return s3err.PreconditionFailed.With("Condition", "If-None-Match")
		}
		return nil
	}, nil
}

// deleteCondition is what a delete may depend on. A tag wants an object that is current now (S3, measured:
// NoSuchKey for an absent key and behind a delete marker; the user guide, Conditional deletes, says that it
// fails). Size and time hold for what is not there (API reference, DeleteObject), and so does any condition
// on a version by its id, as removing a version twice does.
type deleteCondition struct {
	named bool // it is about a version by its id
	match string
	mtime string
	size  string
}

// condition returns nil if there is nothing to check.
func (d deleteCondition) condition() (erasureset.Condition, error) {
	if d.match == "" && d.mtime == "" && d.size == "" {
		return nil, nil
	}
	mtime, ok := parseHTTPTime(d.mtime)
	if d.mtime != "" && !ok {
		return nil, s3err.InvalidArgument.With("ArgumentName", "x-amz-if-match-last-modified-time")
	}
	size, ok := parseDigits(d.size)
	if d.size != "" && !ok {
		return nil, s3err.InvalidArgument.With("ArgumentName", "x-amz-if-match-size")
	}
	return func(current *erasureset.Info) error {
		switch {
		case current == nil && d.match != "" && !d.named:
			return s3err.NoSuchKey
		case current == nil:
		case d.match != "" && !etagListed(d.match, current.ETag):
			return s3err.PreconditionFailed.With("Condition", "If-Match")
		case d.mtime != "" && time.Unix(0, current.ModTime).Unix() != mtime.Unix():
			return s3err.PreconditionFailed.With("Condition", "x-amz-if-match-last-modified-time")
		case d.size != "" && current.Size != size:
			return s3err.PreconditionFailed.With("Condition", "x-amz-if-match-size")
		}
		return nil
	}, nil
}

// etagListed says whether an If-Match or If-None-Match value names etag. Quotes are optional, as
// in S3; entity tags here are never weak, so "W/" is ignored.
func etagListed(list, etag string) bool {
	for list != "" {
		var one string
		one, list, _ = strings.Cut(list, ",")
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || strings.EqualFold(trimQuotes(one), etag) {
			return true
		}
	}
	return false
}

// trimQuotes removes one pair of quotes.
func trimQuotes(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
