package s3err

import "unicode/utf8"

// AppendXML appends the error document. resource is used when the error names none of its own.
// Bytes that XML 1.0 cannot carry become U+FFFD, so the document always parses.
func (e *Error) AppendXML(dst []byte, resource, requestID, hostID string) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<Error>"...)
	dst = element(dst, "Code", e.Code.String())
	dst = element(dst, "Message", e.Message())
	for _, f := range e.Fields {
		dst = element(dst, f.Name, f.Value)
	}
	if e.Resource != "" {
		resource = e.Resource
	}
	if resource != "" {
		dst = element(dst, "Resource", resource)
	}
	dst = element(dst, "RequestId", requestID)
	dst = element(dst, "HostId", hostID)
	return append(dst, "</Error>"...)
}

func element(dst []byte, name, value string) []byte {
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = append(dst, '>')
	dst = escape(dst, value)
	dst = append(dst, '<', '/')
	dst = append(dst, name...)
	return append(dst, '>')
}

func escape(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '&':
				dst = append(dst, "&amp;"...)
			case c == '<':
				dst = append(dst, "&lt;"...)
			case c == '>':
				dst = append(dst, "&gt;"...)
			case c == '\r':
				dst = append(dst, "&#xD;"...)
			case c < 0x20 && c != '\t' && c != '\n':
				dst = append(dst, "\uFFFD"...)
			default:
				dst = append(dst, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r == utf8.RuneError || r == 0xFFFE || r == 0xFFFF {
			dst = append(dst, "\uFFFD"...)
			continue
		}
		dst = append(dst, s[i-n:i]...)
	}
	return dst
}
