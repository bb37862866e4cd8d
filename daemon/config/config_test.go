package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// valid is a configuration that every case below breaks in one place.
func valid() Config {
	c := Default()
	c.Drives = []string{"/d{1...4}"}
	return c
}

func TestValidateNamesTheSetting(t *testing.T) {
	good := valid()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spoil func(*Config)
		says  string
	}{
		"no drives":          {func(c *Config) { c.Drives = nil }, "no drives"},
		"no address":         {func(c *Config) { c.Address = "" }, "--address"},
		"address no port":    {func(c *Config) { c.Address = "localhost" }, "--address"},
		"port too high":      {func(c *Config) { c.Address = ":70000" }, "70000"},
		"cluster address":    {func(c *Config) { c.ClusterAddress = "x:y" }, "--cluster-address"},
		"pprof to the world": {func(c *Config) { c.Pprof = ":6060" }, "loopback"},
		"cert without key":   {func(c *Config) { c.TLSCert = "a" }, "--tls-key"},
		"domain with port":   {func(c *Config) { c.Domains = []string{"s3.example.com:9000"} }, "--domain"},
		"odd set":            {func(c *Config) { c.SetSize = 5 }, "--set-size"},
		"inline too large":   {func(c *Config) { c.InlineLimit = 1 << 20 }, "--inline-limit"},
		"tiny memory":        {func(c *Config) { c.Memory = 1 << 20 }, "--memory"},
		"short password":     {func(c *Config) { c.Root = Root{"admin", "2short"} }, "HOLDFAST_ROOT_PASSWORD needs"},
		"password alone":     {func(c *Config) { c.Root = Root{"", "long enough"} }, "HOLDFAST_ROOT_USER is not set"},
		"user alone":         {func(c *Config) { c.RootOld = Root{"admin", ""} }, "HOLDFAST_ROOT_PASSWORD_OLD is not set"},
		"slash in user":      {func(c *Config) { c.Root = Root{"ad/min", "long enough"} }, "HOLDFAST_ROOT_USER may"},
		"region with blank":  {func(c *Config) { c.Region = "EU west" }, "--region"},
		"negative drain":     {func(c *Config) { c.DrainLimit = -1 }, "--drain-limit"},
	} {
		t.Run(name, func(t *testing.T) {
			c := valid()
			tc.spoil(&c)
			err := c.Validate()
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("Validate = %v; want ErrInvalid that says %q", err, tc.says)
			}
			if strings.Contains(err.Error(), "2short") {
				t.Fatalf("the error shows the password: %v", err)
			}
		})
	}
}

func TestDrivePathsRefusesURLs(t *testing.T) {
	c := valid()
	c.Drives = []string{"http://node{1...4}:9000/d"}
	if _, err := c.DrivePaths(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "http://node1:9000/d") {
		t.Fatalf("DrivePaths = %v; want an error that names the URL", err)
	}
}

func TestDrivePathsRefusesASetOfMoreDrivesThanGiven(t *testing.T) {
	c := valid()
	c.Drives, c.SetSize = []string{"/d{1...4}"}, 6
	if _, err := c.DrivePaths(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "--set-size 6: only 4 drives") {
		t.Fatalf("DrivePaths = %v", err)
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{
		"HOLDFAST_ADDRESS": ":9500", "MINIO_ROOT_USER": "fallback", "MINIO_ROOT_PASSWORD": "secret-secret",
		"HOLDFAST_ROOT_USER": "ours", "HOLDFAST_MEMORY": "1.5GiB", "HOLDFAST_JSON": "true", "HOLDFAST_DRIVES": "/a /b{1...2}",
		"HOLDFAST_DOMAIN": "a.example,b.example",
	}
	c := Default()
	err := FromEnv(Knobs(&c), func(k string) (string, bool) { v, ok := env[k]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if c.Address != ":9500" || c.Root != (Root{"ours", "secret-secret"}) || c.Memory != 3<<29 || !c.JSON || len(c.Drives) != 2 || len(c.Domains) != 2 {
		t.Fatalf("FromEnv gave %+v", c)
	}
	for k, v := range map[string]string{"HOLDFAST_MEMORY": "lots", "HOLDFAST_LOG_LEVEL": "loud", "HOLDFAST_JSON": "maybe", "HOLDFAST_SET_SIZE": "x", "HOLDFAST_DRAIN_LIMIT": "5"} {
		err := FromEnv(Knobs(&c), func(name string) (string, bool) { return v, name == k })
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), k) {
			t.Errorf("%s=%s: %v; want ErrInvalid that names the variable", k, v, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := valid()
	c.Root = Root{"admin", "a-very-secret-word"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, c); strings.Contains(s, "a-very-secret-word") {
			t.Errorf("%s prints the root password: %s", verb, s)
		}
	}
}

func TestSizeText(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "4096": 4096, "2KiB": 2048, "512MiB": 512 << 20, "1.5GiB": 3 << 29, "1GB": 1e9, "7 B": 7} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q = %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1e30TiB", "12 parsecs", "NaN"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %d", text, s)
		}
	}
	if Size(3<<29).String() != "1536MiB" || Size(1).String() != "1" {
		t.Errorf("String: %s, %s", Size(3<<29), Size(1))
	}
}
