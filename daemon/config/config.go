// Package config holds every setting of the server once: its field, default, flag, environment
// variable and help stand in one table (Knobs), from which the command line, the environment and
// README's table are made. It reads no files and starts nothing.
package config

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/raftfsm/cluster"
)

// Config is what `holdfast server` was asked to do. Zero values are not defaults: start from Default.
type Config struct {
	Address        string        // host:port of the S3 API
	ClusterAddress string        // host:port between nodes
	Domains        []string      // base domains of virtual-host style requests
	Region         string        // region clients must sign for; "" takes any
	TLSCert        string        // PEM file
	TLSKey         string        // PEM file
	JSON           bool          // log and banner as JSON lines
	LogLevel       slog.Level    // lowest level logged
	Memory         Size          // budget of the process in bytes; 0 = chosen from RAM and drives
	SetSize        int           // drives per erasure set at birth; 0 = the largest that fits
	InlineLimit    Size          // largest shard kept in the journal, bytes
	DrainLimit     time.Duration // how long SIGTERM waits for requests in flight
	Pprof          string        // loopback host:port of the profiler; "" = off
	Drives         []string      // as given, before expansion

	Root    Root // root credentials in force
	RootOld Root // root credentials before a change
}

// Root is a pair of root credentials; both empty means "not chosen".
type Root struct{ User, Password string }

// IsSet reports whether the pair was given.
func (r Root) IsSet() bool { return r.User != "" || r.Password != "" }

// String never shows the password.
func (r Root) String() string { return fmt.Sprintf("root user %q", r.User) }

// GoString never shows the password.
func (r Root) GoString() string { return r.String() }

// Size is a number of bytes, written as 512MiB, 2GiB, 4096.
type Size int64

// Default is the configuration of `holdfast server` without flags and environment.
func Default() Config {
	return Config{Address: ":9000", LogLevel: slog.LevelInfo, InlineLimit: 2 << 10, DrainLimit: 30 * time.Second}
}

// Validate checks every setting and the relations between them, naming the one at fault.
func (c *Config) Validate() error {
	for _, a := range []struct{ knob, addr string }{{"address", c.Address}, {"cluster-address", c.ClusterAddress}, {"pprof", c.Pprof}} {
		if a.addr == "" && a.knob != "address" {
			continue
		}
		if err := checkAddress(a.addr); err != nil {
			return fmt.Errorf("%w: --%s %q: %w", ErrInvalid, a.knob, a.addr, err)
		}
	}
	if c.Pprof != "" {
		if host, _, _ := net.SplitHostPort(c.Pprof); host != "localhost" && !net.ParseIP(host).IsLoopback() {
			return fmt.Errorf("%w: --pprof %q: the profiler listens on a loopback address only", ErrInvalid, c.Pprof)
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("%w: --tls-cert and --tls-key go together", ErrInvalid)
	}
	for _, d := range c.Domains {
		if err := checkDomain(d); err != nil {
			return fmt.Errorf("%w: --domain %q: %w", ErrInvalid, d, err)
		}
	}
	switch {
	case c.SetSize != 0 && (c.SetSize < 4 || c.SetSize > 16 || c.SetSize%2 != 0):
		return fmt.Errorf("%w: --set-size %d: an erasure set has an even number of drives from 4 to 16", ErrInvalid, c.SetSize)
	case c.InlineLimit < 0 || c.InlineLimit > 16<<10:
		return fmt.Errorf("%w: --inline-limit %s: 0 to 16KiB", ErrInvalid, c.InlineLimit)
	case c.Memory != 0 && c.Memory < 64<<20:
		return fmt.Errorf("%w: --memory %s: at least 64MiB", ErrInvalid, c.Memory)
	case c.DrainLimit < 0:
		return fmt.Errorf("%w: --drain-limit %s is negative", ErrInvalid, c.DrainLimit)
	case len(c.Drives) == 0:
		return fmt.Errorf("%w: no drives given: name at least one directory, e.g. holdfast server /mnt/drive{1...4}", ErrInvalid)
	}
	if !cluster.ValidRegion(c.Region) {
		return fmt.Errorf("%w: --region %q: at most 32 of a-z, 0-9 and \"-\"", ErrInvalid, c.Region)
	}
	for suffix, r := range map[string]Root{"": c.Root, "_OLD": c.RootOld} {
		if err := checkRoot(r, "HOLDFAST_ROOT_USER"+suffix, "HOLDFAST_ROOT_PASSWORD"+suffix); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}

// DrivePaths expands the drive arguments to absolute local paths, refusing what is no local path.
func (c *Config) DrivePaths() ([]string, error) {
	var out []string
	for _, arg := range c.Drives {
		paths, err := Expand(arg)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			if strings.Contains(p, "://") {
				return nil, fmt.Errorf("%w: drive %q: this release runs stand-alone only; give local directories (distributed mode is not built yet)", ErrInvalid, p)
			}
			if p == "" {
				return nil, fmt.Errorf("%w: an empty drive path", ErrInvalid)
			}
			abs, err := filepath.Abs(p)
			if err != nil {
				return nil, fmt.Errorf("drive %q: %w", p, err)
			}
			out = append(out, abs)
		}
	}
	if c.SetSize > len(out) {
		return nil, fmt.Errorf("%w: --set-size %d: only %d drives are given", ErrInvalid, c.SetSize, len(out))
	}
	return out, nil
}

func checkAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("want host:port or :port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return nil
}

func checkDomain(d string) error {
	if d == "" || len(d) > 253 || d[0] == '.' || d[len(d)-1] == '.' {
		return fmt.Errorf("not a domain name")
	}
	for _, c := range d {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return fmt.Errorf("character %q is not allowed (lower case, no port)", c)
		}
	}
	return nil
}

// checkRoot asks for credentials that S3 clients can carry and that are not trivially guessed. user
// and password are the names of their variables.
func checkRoot(r Root, user, password string) error {
	switch {
	case !r.IsSet():
		return nil
	case r.User == "":
		return fmt.Errorf("%s is not set beside %s", user, password)
	case r.Password == "":
		return fmt.Errorf("%s is not set beside %s", password, user)
	case len(r.User) < 3:
		return fmt.Errorf("%s needs at least 3 characters", user)
	case len(r.Password) < 8:
		return fmt.Errorf("%s needs at least 8 characters", password)
	case strings.ContainsAny(r.User, "/,= \t\r\n"):
		return fmt.Errorf("%s may not hold \"/\", \",\", \"=\" or white space: it is the access key of Signature V4", user)
	}
	return nil
}
