package s3api

import "time"

// httpTime is the form of dates in headers.
const httpTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// httpDate is a time of an object as headers show it.
func httpDate(nanos int64) string {
	var b [len(httpTime)]byte
	return string(time.Unix(0, nanos).UTC().AppendFormat(b[:0], httpTime))
}

// parseHTTPTime reads the three date forms of HTTP, and ISO 8601, which S3 takes too.
func parseHTTPTime(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, false
	}
	for _, layout := range []string{httpTime, time.RFC850, time.ANSIC, time.RFC1123Z, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
