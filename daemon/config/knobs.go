package config

import (
	"encoding"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// Knob is one setting as a person meets it.
type Knob struct {
	Flag    string   // "" = environment only, because a command line shows in ps
	Env     []string // first is ours, the others are fallbacks that MinIO's users know
	Default string
	Help    string
	Secret  bool
	Bool    bool
	Set     func(value string) error // parses into the Config that Knobs was given
}

// Knobs lists every setting of c. It is the one place where a setting is declared.
func Knobs(c *Config) []Knob {
	return []Knob{
		{Flag: "address", Env: env("ADDRESS"), Default: c.Address, Set: str(&c.Address),
			Help: "host:port of the S3 API"},
		{Flag: "cluster-address", Env: env("CLUSTER_ADDRESS"), Set: str(&c.ClusterAddress),
			Help: "host:port between nodes; default: the S3 port + 1000 (not used stand-alone)"},
		{Flag: "domain", Env: env("DOMAIN", "MINIO_DOMAIN"), Set: list(&c.Domains),
			Help: "base domain of virtual-host style requests (BUCKET.domain); several with commas"},
		{Flag: "region", Env: env("REGION", "MINIO_REGION"), Set: str(&c.Region),
			Help: "region that requests must be signed for and that GetBucketLocation names; empty takes any"},
		{Flag: "tls-cert", Env: env("TLS_CERT"), Set: str(&c.TLSCert),
			Help: "PEM certificate chain: serves HTTPS; read again when the file changes"},
		{Flag: "tls-key", Env: env("TLS_KEY"), Set: str(&c.TLSKey),
			Help: "PEM private key of --tls-cert"},
		{Flag: "memory", Env: env("MEMORY"), Default: "", Set: text(&c.Memory),
			Help: "memory budget, e.g. 1GiB; default: the smaller of 25 % of RAM and 128MiB + 32MiB per drive"},
		{Flag: "set-size", Env: env("SET_SIZE"), Set: integer(&c.SetSize),
			Help: "drives per erasure set when the store is born, even, 4 to 16; default: the largest that fits"},
		{Flag: "inline-limit", Env: env("INLINE_LIMIT"), Default: c.InlineLimit.String(), Set: text(&c.InlineLimit),
			Help: "largest shard kept in a drive's journal instead of its segments, up to 16KiB"},
		{Flag: "drain-limit", Env: env("DRAIN_LIMIT"), Default: c.DrainLimit.String(), Set: duration(&c.DrainLimit),
			Help: "how long a stop waits for requests in flight"},
		{Flag: "json", Env: env("JSON"), Bool: true, Default: "false", Set: boolean(&c.JSON),
			Help: "log and greet in JSON lines"},
		{Flag: "log-level", Env: env("LOG_LEVEL"), Default: "info", Set: level(&c.LogLevel),
			Help: "debug, info, warn or error"},
		{Flag: "pprof", Env: env("PPROF"), Set: str(&c.Pprof),
			Help: "loopback host:port of the Go profiler; empty = off"},
		{Env: env("DRIVES", "MINIO_VOLUMES"), Set: fields(&c.Drives),
			Help: "drives, separated by spaces, when none are on the command line"},
		{Env: env("ROOT_USER", "MINIO_ROOT_USER", "MINIO_ACCESS_KEY"), Set: str(&c.Root.User),
			Help: "root access key"},
		{Env: env("ROOT_PASSWORD", "MINIO_ROOT_PASSWORD", "MINIO_SECRET_KEY"), Secret: true, Set: str(&c.Root.Password),
			Help: "root secret key, at least 8 characters"},
		{Env: env("ROOT_USER_OLD"), Set: str(&c.RootOld.User),
			Help: "former root access key, for one start after a change"},
		{Env: env("ROOT_PASSWORD_OLD"), Secret: true, Set: str(&c.RootOld.Password),
			Help: "former root secret key, for one start after a change"},
	}
}

// FromEnv applies the environment (lookup is os.LookupEnv outside tests) to the knobs.
func FromEnv(knobs []Knob, lookup func(string) (string, bool)) error {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	for _, k := range knobs {
		for _, name := range k.Env {
			v, ok := lookup(name)
			if !ok || v == "" {
				continue
			}
			if err := k.Set(v); err != nil {
				if k.Secret {
					return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
				}
				return fmt.Errorf("%w: %s=%q: %w", ErrInvalid, name, v, err)
			}
			break
		}
	}
	return nil
}

// env is the knob's own variable, HOLDFAST_name, and its fallbacks.
func env(name string, fallbacks ...string) []string {
	return append([]string{"HOLDFAST_" + name}, fallbacks...)
}

func str(p *string) func(string) error {
	return func(v string) error { *p = v; return nil }
}

func list(p *[]string) func(string) error {
	return func(v string) error { *p = strings.Split(v, ","); return nil }
}

func fields(p *[]string) func(string) error {
	return func(v string) error { *p = strings.Fields(v); return nil }
}

func boolean(p *bool) func(string) error {
	return func(v string) (err error) {
		if *p, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("want true or false")
		}
		return nil
	}
}

func integer(p *int) func(string) error {
	return func(v string) (err error) {
		if *p, err = strconv.Atoi(v); err != nil {
			return fmt.Errorf("want a number")
		}
		return nil
	}
}

func duration(p *time.Duration) func(string) error {
	return func(v string) (err error) {
		if *p, err = time.ParseDuration(v); err != nil {
			return fmt.Errorf("want a duration such as 30s")
		}
		return nil
	}
}

func level(p *slog.Level) func(string) error {
	return func(v string) error {
		switch strings.ToLower(v) {
		case "debug", "info", "warn", "error":
			return p.UnmarshalText([]byte(v))
		}
		return fmt.Errorf("want debug, info, warn or error")
	}
}

func text(p encoding.TextUnmarshaler) func(string) error {
	return func(v string) error { return p.UnmarshalText([]byte(v)) }
}

var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}}

// UnmarshalText parses 4096, 512MiB, 2GiB, 1.5GB.
func (s *Size) UnmarshalText(b []byte) error {
	v, unit := strings.TrimSpace(string(b)), int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(v, u.name); ok {
			v, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n >= 0 && n*float64(unit) <= 1<<60) { // the negation also catches NaN
		return fmt.Errorf("want a size such as 512MiB")
	}
	*s = Size(n * float64(unit))
	return nil
}

// String is the shortest exact form in binary units.
func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
