package s3xml

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast/s3api/s3err"
)

// Limits of request documents. A body larger than its limit must be refused before it is read
// (MaxMessageLengthExceeded); the numbers of entries are checked here.
const (
	MaxCreateBucketBody = 64 << 10
	MaxDeleteBody       = 4 << 20 // a thousand keys of 1024 bytes, with room for escapes
	MaxCompleteBody     = 4 << 20 // ten thousand parts with ETag and a SHA-256 each
	MaxVersioningBody   = 64 << 10
	MaxDeleteObjects    = 1000
	MaxParts            = 10000
)

// CreateBucketConfiguration is the body of CreateBucket.
type CreateBucketConfiguration struct {
	LocationConstraint string
	// Special says that a directory bucket or tags were asked for, which do not exist here.
	Special bool
}

// VersioningConfiguration is the body of PutBucketVersioning.
type VersioningConfiguration struct {
	Status    string // "Enabled", "Suspended" or, not given, ""
	MFADelete bool   // deleting versions was asked to need a second factor
}

// Delete is the body of DeleteObjects.
type Delete struct {
	Quiet   bool
	Objects []DeleteObject
}

// DeleteObject is one key to delete. Conditions are "" when not given.
type DeleteObject struct {
	Key, VersionID               string
	ETag, LastModifiedTime, Size string
	Blank                        string // the element of a condition that was given without a value, "" if none
}

// CompleteMultipartUpload is the body of CompleteMultipartUpload.
type CompleteMultipartUpload struct{ Parts []CompletePart }

// CompletePart is one part that the client wants in the object, in the order of the document.
type CompletePart struct {
	Number    int
	ETag      string // without quotes
	Checksums []Checksum
}

// malformed makes MalformedXML of a scanner's error and lets S3 errors through.
func malformed(err error) error {
	if err == nil {
		return nil
	}
	if e := s3err.From(err); e.Code != s3err.InternalError {
		return err
	}
	return s3err.MalformedXML.Because(err)
}

// parse walks a document whose root must have the given name.
func parse(body []byte, root string, child func(s *scanner, name []byte) error) error {
	s := scanner{data: body}
	name, err := s.root()
	if err != nil {
		return malformed(err)
	}
	if string(name) != root {
		return malformed(s.fail("document element is not " + root))
	}
	if err := s.each(func(name []byte) error { return child(&s, name) }); err != nil {
		return malformed(err)
	}
	return malformed(s.finish())
}

func (s *scanner) unknown(name []byte) error {
	return s.fail(fmt.Sprintf("unexpected element %.40q", name))
}

// once reads the text of an element that may stand only once in its parent.
func (s *scanner) once(dst *string, seen *uint, bit uint) error {
	if *seen&bit != 0 {
		return s.fail("element given twice")
	}
	*seen |= bit
	var err error
	*dst, err = s.text()
	return err
}

// ParseCreateBucket reads the body of CreateBucket; an empty body is an empty configuration.
func ParseCreateBucket(body []byte) (c CreateBucketConfiguration, err error) {
	if len(strings.TrimSpace(string(body))) == 0 {
		return c, nil
	}
	var seen uint
	err = parse(body, "CreateBucketConfiguration", func(s *scanner, name []byte) error {
		switch string(name) {
		case "LocationConstraint":
			return s.once(&c.LocationConstraint, &seen, 1)
		case "Location", "Bucket", "Tags":
			c.Special = true
			return s.skip()
		}
		return s.unknown(name)
	})
	return c, err
}

// ParseVersioning reads the body of PutBucketVersioning.
func ParseVersioning(body []byte) (c VersioningConfiguration, err error) {
	var seen uint
	var mfa string
	err = parse(body, "VersioningConfiguration", func(s *scanner, name []byte) error {
		switch string(name) {
		case "Status":
			if err := s.once(&c.Status, &seen, 1); err != nil {
				return err
			}
			if c.Status != "Enabled" && c.Status != "Suspended" {
				return s.fail("Status is neither Enabled nor Suspended")
			}
			return nil
		case "MfaDelete":
			if err := s.once(&mfa, &seen, 2); err != nil {
				return err
			}
			if c.MFADelete = mfa == "Enabled"; !c.MFADelete && mfa != "Disabled" {
				return s.fail("MfaDelete is neither Enabled nor Disabled")
			}
			return nil
		}
		return s.unknown(name)
	})
	return c, err
}

// ParseDelete reads the body of DeleteObjects.
func ParseDelete(body []byte) (d Delete, err error) {
	var seen uint
	var quiet string
	err = parse(body, "Delete", func(s *scanner, name []byte) error {
		switch string(name) {
		case "Quiet":
			if err := s.once(&quiet, &seen, 1); err != nil {
				return err
			}
			var ok bool
			if d.Quiet, ok = parseBool(quiet); !ok {
				return s.fail("Quiet is no boolean")
			}
			return nil
		case "Object":
			if len(d.Objects) == MaxDeleteObjects {
				return s.fail("too many objects")
			}
			o, err := s.deleteObject()
			d.Objects = append(d.Objects, o)
			return err
		}
		return s.unknown(name)
	})
	if err == nil && len(d.Objects) == 0 {
		err = s3err.MalformedXML
	}
	return d, err
}

func (s *scanner) deleteObject() (o DeleteObject, err error) {
	var seen uint
	err = s.each(func(name []byte) error {
		switch string(name) {
		case "Key":
			return s.once(&o.Key, &seen, 1)
		case "VersionId":
			return s.once(&o.VersionID, &seen, 2)
		case "ETag":
			return o.condition(s, &o.ETag, &seen, 4, "ETag")
		case "LastModifiedTime":
			return o.condition(s, &o.LastModifiedTime, &seen, 8, "LastModifiedTime")
		case "Size":
			return o.condition(s, &o.Size, &seen, 16, "Size")
		}
		return s.unknown(name)
	})
	if err == nil && o.Key == "" {
		err = s.fail("an object has no key")
	}
	return o, err
}

// condition is once for a condition, and remembers that it was given without a value.
func (o *DeleteObject) condition(s *scanner, dst *string, seen *uint, bit uint, name string) error {
	err := s.once(dst, seen, bit)
	if err == nil && o.Blank == "" && strings.TrimSpace(*dst) == "" {
		o.Blank = name
	}
	return err
}

// ParseComplete reads the body of CompleteMultipartUpload.
func ParseComplete(body []byte) (c CompleteMultipartUpload, err error) {
	err = parse(body, "CompleteMultipartUpload", func(s *scanner, name []byte) error {
		if string(name) != "Part" {
			return s.unknown(name)
		}
		if len(c.Parts) == MaxParts {
			return s.fail("too many parts")
		}
		p, err := s.completePart()
		c.Parts = append(c.Parts, p)
		return err
	})
	if err == nil && len(c.Parts) == 0 {
		err = s3err.MalformedXML
	}
	return c, err
}

func (s *scanner) completePart() (p CompletePart, err error) {
	var seen uint
	var number string
	err = s.each(func(name []byte) error {
		switch string(name) {
		case "PartNumber":
			return s.once(&number, &seen, 1)
		case "ETag":
			return s.once(&p.ETag, &seen, 2)
		}
		algo, bit := checksumElement(name)
		if bit == 0 {
			return s.unknown(name)
		}
		var value string
		if err := s.once(&value, &seen, bit); err != nil {
			return err
		}
		p.Checksums = append(p.Checksums, Checksum{algo, value})
		return nil
	})
	if err != nil {
		return p, err
	}
	if seen&3 != 3 {
		return p, s.fail("a part needs PartNumber and ETag")
	}
	if p.Number, err = strconv.Atoi(strings.TrimSpace(number)); err != nil {
		return p, s.fail("PartNumber is no number")
	}
	if p.Number < 1 || p.Number > MaxParts {
		return p, s3err.InvalidArgument.Msg("Part number must be an integer between 1 and 10000, inclusive").
			With("ArgumentName", "partNumber").With("ArgumentValue", number)
	}
	p.ETag = strings.TrimSpace(p.ETag)
	if n := len(p.ETag); n >= 2 && p.ETag[0] == '"' && p.ETag[n-1] == '"' {
		p.ETag = p.ETag[1 : n-1]
	}
	return p, nil
}

// checksumElement knows the checksum elements of a part.
func checksumElement(name []byte) (algo string, bit uint) {
	switch string(name) {
	case "ChecksumCRC32":
		return "CRC32", 4
	case "ChecksumCRC32C":
		return "CRC32C", 8
	case "ChecksumCRC64NVME":
		return "CRC64NVME", 16
	case "ChecksumSHA1":
		return "SHA1", 32
	case "ChecksumSHA256":
		return "SHA256", 64
	}
	return "", 0
}

// parseBool reads an xsd:boolean.
func parseBool(s string) (v, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}
