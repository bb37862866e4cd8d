package s3xml

import (
	"strconv"
	"unicode/utf8"
)

const (
	// Declaration is how every document begins.
	Declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	namespace   = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
)

// writer appends elements. Names are constants of this package and need no escaping.
type writer struct{ b []byte }

// root opens the document element.
func (w *writer) root(name string) {
	w.b = append(w.b, Declaration+"<"...)
	w.b = append(w.b, name...)
	w.b = append(w.b, namespace+">"...)
}

func (w *writer) open(name string) {
	w.b = append(append(append(w.b, '<'), name...), '>')
}

func (w *writer) close(name string) {
	w.b = append(append(append(w.b, '<', '/'), name...), '>')
}

// text writes an element with escaped text.
func (w *writer) text(name, value string) {
	w.open(name)
	w.b = appendEscaped(w.b, value)
	w.close(name)
}

// optional writes an element unless its text is empty.
func (w *writer) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

// name writes a listed key, prefix or marker: percent-encoded when the client asked for it.
func (w *writer) name(element, value string, urlEncode bool) {
	w.open(element)
	if urlEncode {
		w.b = appendURLEncoded(w.b, value)
	} else {
		w.b = appendKey(w.b, value)
	}
	w.close(element)
}

func (w *writer) int(name string, v int64) {
	w.open(name)
	w.b = strconv.AppendInt(w.b, v, 10)
	w.close(name)
}

func (w *writer) bool(name string, v bool) {
	w.open(name)
	w.b = strconv.AppendBool(w.b, v)
	w.close(name)
}

// time writes nanoseconds since the Unix epoch.
func (w *writer) time(name string, ns int64) {
	w.open(name)
	w.b = AppendTime(w.b, ns)
	w.close(name)
}

// etag writes an ETag in quotes.
func (w *writer) etag(name, value string) {
	w.open(name)
	w.b = append(w.b, "&quot;"...)
	w.b = appendEscaped(w.b, value)
	w.b = append(w.b, "&quot;"...)
	w.close(name)
}

func (w *writer) checksums(cs []Checksum) {
	for i := range cs {
		w.b = append(append(append(w.b, "<Checksum"...), cs[i].Algo...), '>')
		w.b = appendEscaped(w.b, cs[i].Value)
		w.b = append(append(append(w.b, "</Checksum"...), cs[i].Algo...), '>')
	}
}

func (w *writer) owner(element string, o Owner) {
	w.open(element)
	w.text("ID", o.ID)
	w.text("DisplayName", o.DisplayName)
	w.close(element)
}

// AppendTime appends 2006-01-02T15:04:05.000Z for nanoseconds since the Unix epoch. AWS shows whole
// seconds; so do we, lest a client that compares with Last-Modified sees two times. Years outside
// 0..9999 do not occur and are not supported.
func AppendTime(dst []byte, ns int64) []byte {
	const day = 86400
	sec := ns / 1e9
	if ns%1e9 < 0 {
		sec--
	}
	days, rest := sec/day, sec%day
	if rest < 0 {
		days, rest = days-1, rest+day
	}
	y, m, d := civil(days)
	dst = append2(dst, y/100)
	dst = append(append2(dst, y%100), '-')
	dst = append(append2(dst, m), '-')
	dst = append(append2(dst, d), 'T')
	dst = append(append2(dst, rest/3600), ':')
	dst = append(append2(dst, rest/60%60), ':')
	return append(append2(dst, rest%60), ".000Z"...)
}

// civil turns days since 1970-01-01 into a date of the Gregorian calendar, counting eras of 400
// years from a first of March so that the leap day is the last of its year.
func civil(days int64) (year, month, day int64) {
	days += 719468 // from 0000-03-01
	era := days / 146097
	doe := days % 146097
	if doe < 0 {
		era, doe = era-1, doe+146097
	}
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = doy - (153*mp+2)/5 + 1
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

func append2(dst []byte, v int64) []byte {
	return append(dst, byte('0'+v/10%10), byte('0'+v%10))
}

// plainText marks the bytes that stand for themselves in text. Read only.
var plainText = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '&' && c != '<' && c != '>' && c != '"' && c != '\''
	}
	return t
}()

// appendEscaped writes text; what XML cannot carry becomes U+FFFD.
func appendEscaped(dst []byte, s string) []byte { return appendText(dst, s, false) }

// appendKey writes a listed key; what XML cannot carry becomes a character reference.
func appendKey(dst []byte, s string) []byte { return appendText(dst, s, true) }

func appendText(dst []byte, s string, exact bool) []byte {
	i := 0
	for i < len(s) && plainText[s[i]] {
		i++
	}
	dst = append(dst, s[:i]...)
	for i < len(s) {
		c := s[i]
		if plainText[c] {
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		carried := r >= ' ' && r != utf8.RuneError && r != 0xFFFE && r != 0xFFFF || r == '\t' || r == '\n' || r == '\r'
		switch {
		case r == utf8.RuneError, !carried && !exact:
			dst = append(dst, "\uFFFD"...)
		case c < utf8.RuneSelf || !carried:
			dst = appendReference(dst, r)
		default:
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}

func appendReference(dst []byte, c rune) []byte {
	switch c {
	case '&':
		return append(dst, "&amp;"...)
	case '<':
		return append(dst, "&lt;"...)
	case '>':
		return append(dst, "&gt;"...)
	case '"':
		return append(dst, "&quot;"...)
	case '\'':
		return append(dst, "&#39;"...)
	case 0x7f:
		return append(dst, 0x7f)
	}
	return append(append(append(dst, "&#x"...), strconv.FormatInt(int64(c), 16)...), ';')
}

// urlPlain marks the bytes that encoding-type=url leaves alone. Read only.
var urlPlain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~' || c == '/' || c == '*'
	}
	return t
}()

// appendURLEncoded writes %XX for all but urlPlain. A space is %20, which every decoder reads; AWS
// writes '+', which some do not.
func appendURLEncoded(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	i := 0
	for i < len(s) && urlPlain[s[i]] {
		i++
	}
	dst = append(dst, s[:i]...)
	for ; i < len(s); i++ {
		if c := s[i]; urlPlain[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
