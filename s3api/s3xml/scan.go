package s3xml

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep elements of a request may be nested.
const MaxDepth = 16

// errSyntax is returned when a document is not well formed or not within the limits.
var errSyntax = errors.New("malformed xml")

// scanner walks a document by recursive descent: root enters the document element, each visits
// the children of the element entered last, and text or skip leaves it.
//
// It reads the part of XML 1.0 that requests are written in: declaration, comments, processing
// instructions, attributes (ignored), CDATA, the five named entities, character references.
// DOCTYPE and encodings other than UTF-8 are refused. Control characters other than NUL are taken in
// text, raw (so does botocore send them) and as references, though XML 1.0 has neither: keys may hold
// them and must be deletable. So is "]]>", which sloppy writers leave unescaped.
type scanner struct {
	data  []byte
	pos   int
	stack [MaxDepth][]byte // qualified names of open elements
	depth int
	empty bool // the element entered last was <name/>: its end is already read
}

func (s *scanner) fail(why string) error {
	return fmt.Errorf("%w: %s at byte %d", errSyntax, why, s.pos)
}

// root reads up to the start of the document element and returns its local name.
func (s *scanner) root() ([]byte, error) {
	if !utf8.Valid(s.data) {
		return nil, s.fail("not UTF-8")
	}
	s.data = bytes.TrimPrefix(s.data, []byte("\xef\xbb\xbf"))
	if rest := s.data; bytes.HasPrefix(rest, []byte("<?xml")) {
		end := bytes.Index(rest, []byte("?>"))
		if end < 0 || !utf8Declared(rest[:end]) {
			return nil, s.fail("bad declaration")
		}
		s.pos = end + 2
	}
	if err := s.misc(); err != nil {
		return nil, err
	}
	if s.pos >= len(s.data) || s.data[s.pos] != '<' {
		return nil, s.fail("no document element")
	}
	return s.start()
}

// utf8Declared reports whether an XML declaration names no other encoding.
func utf8Declared(decl []byte) bool {
	_, after, ok := bytes.Cut(decl, []byte("encoding"))
	if !ok {
		return true
	}
	after = bytes.Trim(after, " \t\r\n=")
	return len(after) >= 7 && bytes.EqualFold(after[1:6], []byte("utf-8")) && after[6] == after[0]
}

// finish checks that nothing but comments stands behind the document element.
func (s *scanner) finish() error {
	if err := s.misc(); err != nil {
		return err
	}
	if s.pos != len(s.data) {
		return s.fail("content behind the document element")
	}
	return nil
}

// misc skips blanks, comments and processing instructions.
func (s *scanner) misc() error {
	for {
		for s.pos < len(s.data) && blank(s.data[s.pos]) {
			s.pos++
		}
		skipped, err := s.special()
		if err != nil || !skipped {
			return err
		}
	}
}

// special skips one comment or processing instruction, if one stands here.
func (s *scanner) special() (bool, error) {
	rest := s.data[s.pos:]
	for _, p := range [...][2]string{{"<!--", "-->"}, {"<?", "?>"}} {
		if !bytes.HasPrefix(rest, []byte(p[0])) {
			continue
		}
		end := bytes.Index(rest[len(p[0]):], []byte(p[1]))
		if end < 0 {
			return false, s.fail("unfinished comment or instruction")
		}
		s.pos += len(p[0]) + end + len(p[1])
		return true, nil
	}
	return false, nil
}

// start reads a start tag at '<' and returns the element's local name.
func (s *scanner) start() ([]byte, error) {
	s.pos++
	name := s.name()
	if len(name) == 0 {
		return nil, s.fail("element name expected")
	}
	if s.depth == MaxDepth {
		return nil, s.fail("nested too deep")
	}
	s.stack[s.depth] = name
	s.depth++
	for {
		from := s.pos
		for s.pos < len(s.data) && blank(s.data[s.pos]) {
			s.pos++
		}
		switch {
		case s.pos >= len(s.data):
			return nil, s.fail("unfinished tag")
		case s.data[s.pos] == '>':
			s.pos++
			return local(name), nil
		case bytes.HasPrefix(s.data[s.pos:], []byte("/>")):
			s.pos += 2
			s.empty = true
			return local(name), nil
		case from == s.pos:
			return nil, s.fail("blank expected")
		}
		if err := s.attribute(); err != nil {
			return nil, err
		}
	}
}

func (s *scanner) attribute() error {
	if len(s.name()) == 0 {
		return s.fail("attribute name expected")
	}
	skip := func() {
		for s.pos < len(s.data) && blank(s.data[s.pos]) {
			s.pos++
		}
	}
	skip()
	if s.pos >= len(s.data) || s.data[s.pos] != '=' {
		return s.fail("= expected")
	}
	s.pos++
	skip()
	if s.pos >= len(s.data) || s.data[s.pos] != '"' && s.data[s.pos] != '\'' {
		return s.fail("quote expected")
	}
	quote := s.data[s.pos]
	s.pos++
	n := bytes.IndexByte(s.data[s.pos:], quote)
	if n < 0 || bytes.IndexByte(s.data[s.pos:s.pos+n], '<') >= 0 {
		return s.fail("bad attribute value")
	}
	s.pos += n + 1
	return nil
}

// name reads a qualified name.
func (s *scanner) name() []byte {
	from := s.pos
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= utf8.RuneSelf
		if !letter && (s.pos == from || !(c >= '0' && c <= '9' || c == '-' || c == '.' || c == ':')) {
			break
		}
		s.pos++
	}
	return s.data[from:s.pos]
}

// local cuts a namespace prefix off.
func local(name []byte) []byte {
	return name[bytes.LastIndexByte(name, ':')+1:]
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// leave reads the end tag of the element entered last, at '<'.
func (s *scanner) leave() error {
	s.pos += 2 // "</"
	if !bytes.Equal(s.name(), s.stack[s.depth-1]) {
		return s.fail("end tag does not match")
	}
	for s.pos < len(s.data) && blank(s.data[s.pos]) {
		s.pos++
	}
	if s.pos >= len(s.data) || s.data[s.pos] != '>' {
		return s.fail("unfinished end tag")
	}
	s.pos++
	s.depth--
	return nil
}

// leaveEmpty leaves the element entered last if it was <name/>.
func (s *scanner) leaveEmpty() bool {
	if !s.empty {
		return false
	}
	s.empty = false
	s.depth--
	return true
}

// each calls child for every child of the element entered last, with its local name, and leaves
// the element. child must leave the child: by each, text or skip. Text between children is refused.
func (s *scanner) each(child func(name []byte) error) error {
	if s.leaveEmpty() {
		return nil
	}
	for {
		if err := s.misc(); err != nil {
			return err
		}
		if s.pos+1 >= len(s.data) || s.data[s.pos] != '<' {
			return s.fail("element expected")
		}
		if s.data[s.pos+1] == '/' {
			return s.leave()
		}
		name, err := s.start()
		if err != nil {
			return err
		}
		if err := child(name); err != nil {
			return err
		}
	}
}

// skip leaves the element entered last, whatever it holds, as long as it is well formed.
func (s *scanner) skip() error {
	if s.leaveEmpty() {
		return nil
	}
	for {
		if _, err := s.appendText(nil); err != nil {
			return err
		}
		if s.data[s.pos+1] == '/' {
			return s.leave()
		}
		if _, err := s.start(); err != nil {
			return err
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
}

// text returns the text of the element entered last and leaves it. Child elements are refused.
func (s *scanner) text() (string, error) {
	if s.leaveEmpty() {
		return "", nil
	}
	from := s.pos
	for s.pos < len(s.data) && plainText[s.data[s.pos]] {
		s.pos++
	}
	if s.pos+1 < len(s.data) && s.data[s.pos] == '<' && s.data[s.pos+1] == '/' {
		return string(s.data[from:s.pos]), s.leave()
	}
	b, err := s.appendText(bytes.Clone(s.data[from:s.pos]))
	if err != nil {
		return "", err
	}
	if s.data[s.pos+1] != '/' {
		return "", s.fail("element in text")
	}
	return string(b), s.leave()
}

// appendText reads text up to a tag, at whose '<' it stops with at least one more byte behind.
func (s *scanner) appendText(dst []byte) ([]byte, error) {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		rest := s.data[s.pos:]
		switch {
		case c == '&':
			var err error
			if dst, err = s.reference(dst); err != nil {
				return nil, err
			}
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			n := bytes.Index(rest, []byte("]]>"))
			if n < 0 {
				return nil, s.fail("unfinished CDATA")
			}
			for _, c := range normalised(rest[len("<![CDATA["):n]) {
				if c == 0 {
					return nil, s.fail("NUL")
				}
				dst = append(dst, c)
			}
			s.pos += n + len("]]>")
		case c == '<':
			skipped, err := s.special()
			if err != nil {
				return nil, err
			}
			if !skipped {
				if len(rest) < 2 {
					return nil, s.fail("unfinished tag")
				}
				return dst, nil
			}
		case c == '\r': // a line end is one LF
			dst = append(dst, '\n')
			s.pos++
			if s.pos < len(s.data) && s.data[s.pos] == '\n' {
				s.pos++
			}
		case c == 0:
			return nil, s.fail("NUL")
		default:
			dst = append(dst, c)
			s.pos++
		}
	}
	return nil, s.fail("unfinished element")
}

// normalised turns CRLF and CR into LF, as XML asks for.
func normalised(b []byte) []byte {
	if bytes.IndexByte(b, '\r') < 0 {
		return b
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
}

// reference reads an entity or character reference at '&'.
func (s *scanner) reference(dst []byte) ([]byte, error) {
	rest := s.data[s.pos+1:]
	n := bytes.IndexByte(rest[:min(len(rest), 12)], ';')
	if n < 0 {
		return nil, s.fail("unfinished reference")
	}
	ref := rest[:n]
	switch string(ref) {
	case "amp":
		dst = append(dst, '&')
	case "lt":
		dst = append(dst, '<')
	case "gt":
		dst = append(dst, '>')
	case "quot":
		dst = append(dst, '"')
	case "apos":
		dst = append(dst, '\'')
	default:
		r, ok := characterReference(ref)
		if !ok {
			return nil, s.fail("unknown reference")
		}
		dst = utf8.AppendRune(dst, r)
	}
	s.pos += n + 2
	return dst, nil
}

// characterReference reads "#10" or "#xA".
func characterReference(ref []byte) (rune, bool) {
	digits, ok := bytes.CutPrefix(ref, []byte("#"))
	if !ok {
		return 0, false
	}
	base := rune(10)
	if hex, ok := bytes.CutPrefix(digits, []byte("x")); ok {
		digits, base = hex, 16
	}
	var r rune
	for _, c := range digits {
		d := rune(99)
		switch {
		case c >= '0' && c <= '9':
			d = rune(c - '0')
		case c >= 'a' && c <= 'f':
			d = rune(c-'a') + 10
		case c >= 'A' && c <= 'F':
			d = rune(c-'A') + 10
		}
		if d >= base || r > utf8.MaxRune {
			return 0, false
		}
		r = r*base + d
	}
	return r, len(digits) > 0 && r != 0 && utf8.ValidRune(r)
}
