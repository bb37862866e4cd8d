package config

import (
	"fmt"
	"strconv"
	"strings"
)

// maxExpansion bounds what one argument may stand for, so that a typo such as {1...1000000000}
// is an error and not a hang.
const maxExpansion = 4096

// Expand replaces each ellipsis of arg by its members: "{1...3}" by 1 2 3, "{01...03}" by 01 02
// 03, "{a...c}" by a b c. Several ellipses in one argument multiply, the last varying fastest. An
// argument without an ellipsis stands for itself.
func Expand(arg string) ([]string, error) {
	out := []string{""}
	rest := arg
	for {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			if strings.IndexByte(rest, '}') >= 0 {
				return nil, fmt.Errorf("%w: %q has a \"}\" without its \"{\"", ErrEllipsis, arg)
			}
			return appendAll(out, []string{rest}), nil
		}
		end := strings.IndexByte(rest[open:], '}')
		if end < 0 {
			return nil, fmt.Errorf("%w: %q has a \"{\" without its \"}\"", ErrEllipsis, arg)
		}
		if strings.IndexByte(rest[:open], '}') >= 0 {
			return nil, fmt.Errorf("%w: %q has a \"}\" without its \"{\"", ErrEllipsis, arg)
		}
		members, err := members(rest[open+1 : open+end])
		if err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrEllipsis, arg, err)
		}
		if len(out)*len(members) > maxExpansion {
			return nil, fmt.Errorf("%w: %q stands for more than %d drives", ErrEllipsis, arg, maxExpansion)
		}
		out = appendAll(appendAll(out, []string{rest[:open]}), members)
		rest = rest[open+end+1:]
	}
}

// appendAll returns every prefix with every suffix behind it.
func appendAll(prefixes, suffixes []string) []string {
	out := make([]string, 0, len(prefixes)*len(suffixes))
	for _, p := range prefixes {
		for _, s := range suffixes {
			out = append(out, p+s)
		}
	}
	return out
}

// members lists what stands between the braces of an ellipsis.
func members(body string) ([]string, error) {
	first, last, ok := strings.Cut(body, "...")
	if !ok {
		return nil, fmt.Errorf("{%s} is not of the form {first...last}", body)
	}
	if isLetter(first) && isLetter(last) {
		if first[0] > last[0] || (first[0] < 'a') != (last[0] < 'a') {
			return nil, fmt.Errorf("{%s} does not ascend", body)
		}
		var out []string
		for c := first[0]; c <= last[0]; c++ {
			out = append(out, string(c))
		}
		return out, nil
	}
	lo, errLo := strconv.ParseUint(first, 10, 31)
	hi, errHi := strconv.ParseUint(last, 10, 31)
	switch {
	case errLo != nil || errHi != nil:
		return nil, fmt.Errorf("{%s} needs two numbers or two letters", body)
	case lo > hi:
		return nil, fmt.Errorf("{%s} does not ascend", body)
	case hi-lo >= maxExpansion:
		return nil, fmt.Errorf("{%s} has more than %d members", body, maxExpansion)
	}
	// {01...16} asks for a fixed width; {1...16} does not.
	width := 1
	if len(first) > 1 && first[0] == '0' || len(first) == len(last) {
		width = len(first)
	}
	out := make([]string, 0, hi-lo+1)
	for n := lo; n <= hi; n++ {
		out = append(out, fmt.Sprintf("%0*d", width, n))
	}
	return out, nil
}

func isLetter(s string) bool {
	return len(s) == 1 && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}
