package s3api

import (
	"strconv"
	"strings"

	"holdfast/actors/object"
	"holdfast/s3api/s3err"
)

// parseRange reads a Range header for an object of the given size. ok is false when the header is
// to be ignored: another unit, several ranges (which S3 does not serve), or not a range at all.
// A range that begins behind the end is InvalidRange.
func parseRange(header string, size int64) (r object.Range, ok bool, err error) {
	spec, found := strings.CutPrefix(header, "bytes=")
	if !found {
		return r, false, nil
	}
	from, to, found := strings.Cut(spec, "-")
	if !found || strings.IndexByte(to, ',') >= 0 {
		return r, false, nil
	}
	if from == "" { // the last n bytes
		n, valid := parseDigits(to)
		if !valid {
			return r, false, nil
		}
		if n == 0 {
			return r, false, invalidRange(header, size)
		}
		if size == 0 { // the whole of nothing, which no Content-Range can say
			return r, false, nil
		}
		return object.Range{Start: max(size-n, 0), End: size}, true, nil
	}
	start, valid := parseDigits(from)
	if !valid {
		return r, false, nil
	}
	end := size
	if to != "" {
		last, valid := parseDigits(to)
		if !valid || last < start {
			return r, false, nil
		}
		if last < size {
			end = last + 1
		}
	}
	if start >= size {
		return r, false, invalidRange(header, size)
	}
	return object.Range{Start: start, End: end}, true, nil
}

// parseDigits reads a decimal number; what does not fit counts as the largest.
func parseDigits(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, _ := strconv.ParseInt(s, 10, 64) // the largest number when out of range
	return n, true
}

func invalidRange(header string, size int64) error {
	return s3err.InvalidRange.With("RangeRequested", header).With("ActualObjectSize", strconv.FormatInt(size, 10))
}

// contentRange is the value of Content-Range.
func contentRange(r object.Range, size int64) string {
	b := make([]byte, 0, 48)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, r.Start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, r.End-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}

// parseCopyRange reads x-amz-copy-source-range, which knows one form only and must lie inside the
// source.
func parseCopyRange(header string, size int64) (object.Range, error) {
	bad := s3err.InvalidArgument.Msg("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy").
		With("ArgumentName", "x-amz-copy-source-range").With("ArgumentValue", header)
	spec, found := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	first, ok1 := parseDigits(from)
	last, ok2 := parseDigits(to)
	if !found || !dash || !ok1 || !ok2 || last < first {
		return object.Range{}, bad
	}
	if last >= size {
		return object.Range{}, invalidRange(header, size)
	}
	return object.Range{Start: first, End: last + 1}, nil
}
