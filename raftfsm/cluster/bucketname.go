package cluster

import (
	"fmt"
	"net/netip"
	"strings"
)

// BucketName is a validated bucket name. Build it with ParseBucketName.
type BucketName string

// ParseBucketName checks the general purpose bucket naming rules of S3 (API reference: "General
// purpose bucket naming rules"): 3 to 63 of a-z, 0-9, "-" and ".", beginning and ending with a
// letter or digit, no "..", ".-" or "-.", not shaped like an IPv4 address, none of the reserved prefixes and suffixes.
func ParseBucketName(s string) (BucketName, error) {
	if len(s) < 3 || len(s) > 63 {
		return "", fmt.Errorf("%w: %q has %d characters, 3 to 63 are allowed", ErrBucketName, s, len(s))
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' && c != '.') {
			return "", fmt.Errorf("%w: %q may hold a-z, 0-9, \"-\" and \".\" only", ErrBucketName, s)
		}
		if !alnum && (i == 0 || i == len(s)-1) {
			return "", fmt.Errorf("%w: %q must begin and end with a letter or a digit", ErrBucketName, s)
		}
	}
	if strings.Contains(s, "..") {
		return "", fmt.Errorf("%w: %q has two adjacent periods", ErrBucketName, s)
	}
	if strings.Contains(s, ".-") || strings.Contains(s, "-.") {
		return "", fmt.Errorf("%w: %q has a period beside a hyphen, which no host name may have", ErrBucketName, s)
	}
	if strings.Trim(s, "0123456789.") == "" { // else the parser would make an error for every good name
		if _, err := netip.ParseAddr(s); err == nil {
			return "", fmt.Errorf("%w: %q is shaped like an IP address", ErrBucketName, s)
		}
	}
	for _, p := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(s, p) {
			return "", fmt.Errorf("%w: %q begins with the reserved %q", ErrBucketName, s, p)
		}
	}
	for _, p := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(s, p) {
			return "", fmt.Errorf("%w: %q ends with the reserved %q", ErrBucketName, s, p)
		}
	}
	return BucketName(s), nil
}

// ValidRegion says whether s can be the name of a region: up to 32 of a-z, 0-9 and "-", or "EU", the
// one old name (API reference, CreateBucket: LocationConstraint); "" is none. Any such name is taken:
// a region is what clients believe they are in.
func ValidRegion(s string) bool {
	if s == "EU" {
		return true
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) <= 32
}
