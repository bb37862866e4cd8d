package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"
	"holdfast/scripts/s3light"
)

// config is what `bench run` was asked for.
type config struct {
	a, b     side
	work     []string
	rounds   int
	duration time.Duration
	warmup   time.Duration
	conc     int
	many     int
	verify   bool
	payload  string
	ceiling  bool
	sync     bool
	keep     bool
	insecure bool
	jsonPath string
}

// side is one endpoint as the flags name it.
type side struct {
	url, name, accessKey, secretKey, region string
	pid                                     int
}

func newRunCommand() *cobra.Command {
	cfg := &config{}
	cmd := &cobra.Command{
		Use:   "run --a URL [--b URL]",
		Short: "Run workloads and print a table",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.validate(); err != nil {
				return err
			}
			return compare(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	for _, s := range []struct {
		*side
		letter, name string
	}{{&cfg.a, "a", "A"}, {&cfg.b, "b", "B"}} {
		f.StringVar(&s.url, s.letter, "", "URL of endpoint "+s.name+", such as http://127.0.0.1:9000")
		f.StringVar(&s.side.name, "name-"+s.letter, s.name, "name of endpoint "+s.name+" in the table")
		f.IntVar(&s.pid, "pid-"+s.letter, 0, "process of endpoint "+s.name+": its CPU and memory are read from /proc, children included")
		f.StringVar(&s.accessKey, "access-key-"+s.letter, envOr("BENCH_ACCESS_KEY_"+s.name, "AWS_ACCESS_KEY_ID"), "access key of endpoint "+s.name)
		f.StringVar(&s.secretKey, "secret-key-"+s.letter, envOr("BENCH_SECRET_KEY_"+s.name, "AWS_SECRET_ACCESS_KEY"), "secret key of endpoint "+s.name)
		f.Lookup("secret-key-" + s.letter).DefValue = ""
		f.StringVar(&s.region, "region-"+s.letter, "us-east-1", "region that endpoint "+s.name+" expects in signatures")
	}
	f.StringSliceVar(&cfg.work, "work", []string{"all"}, "workloads or groups (all, small, large, interference); `bench list` names them")
	f.IntVar(&cfg.rounds, "rounds", 3, "how often each endpoint is measured per workload, in turn")
	f.DurationVar(&cfg.duration, "duration", 5*time.Second, "length of one measurement")
	f.DurationVar(&cfg.warmup, "warmup", time.Second, "load before each measurement that is not counted")
	f.IntVar(&cfg.conc, "concurrency", 0, "connections, instead of each workload's own number")
	f.IntVar(&cfg.many, "many", 1_000_000, "keys of list-first and list-deleted, which are in no group but listing")
	f.BoolVar(&cfg.verify, "verify", false, "compare every byte read and every ETag with what was written")
	f.StringVar(&cfg.payload, "payload", payloadSigned, "how bodies are signed: signed (SHA-256 in the head), streaming (signed chunks, as SDKs do), unsigned")
	f.BoolVar(&cfg.ceiling, "ceiling", false, "measure also a server that answers at once")
	f.BoolVar(&cfg.sync, "sync", true, "sync the file systems of this machine before each measurement and wait until its disks are at rest")
	f.BoolVar(&cfg.keep, "keep", false, "leave the objects in place at the end")
	f.BoolVar(&cfg.insecure, "insecure", false, "accept any TLS certificate")
	f.StringVar(&cfg.jsonPath, "json", "", "write all figures to this file as JSON; - is standard output")
	return cmd
}

func envOr(names ...string) string {
	for _, n := range names {
		if v := os.Getenv(n); v != "" {
			return v
		}
	}
	return ""
}

func (c *config) validate() error {
	if c.a.url == "" {
		return fmt.Errorf("--a is needed")
	}
	if c.rounds < 1 || c.duration <= 0 || c.warmup < 0 || c.conc < 0 {
		return fmt.Errorf("rounds and duration must be above zero, warm-up and concurrency not below")
	}
	if c.payload != payloadSigned && c.payload != payloadStreaming && c.payload != payloadUnsigned {
		return fmt.Errorf("--payload %q: want signed, streaming or unsigned", c.payload)
	}
	_, err := c.selected()
	return err
}

// selected resolves names and groups, each workload once, in the order given.
func (c *config) selected() ([]*workload, error) {
	byName := map[string]*workload{}
	for _, w := range workloads() {
		byName[w.name] = w
	}
	var names []string
	for _, n := range c.work {
		if g, ok := groups()[n]; ok {
			names = append(names, g...)
		} else {
			names = append(names, n)
		}
	}
	var out []*workload
	for _, n := range names {
		w := byName[n]
		if w == nil {
			return nil, fmt.Errorf("no workload %q; `bench list` names them", n)
		}
		if !contains(out, w) {
			if c.conc > 0 {
				w.conc = c.conc
			}
			out = append(out, w)
		}
	}
	return out, nil
}

func contains(list []*workload, w *workload) bool {
	for _, x := range list {
		if x == w {
			return true
		}
	}
	return false
}

func (s *side) target(cfg *config) (*target, error) {
	ep, err := s3light.ParseEndpoint(s.url, s3light.Credentials{AccessKey: s.accessKey, SecretKey: s.secretKey, Region: s.region})
	if err != nil {
		return nil, err
	}
	if ep.TLS != nil {
		ep.TLS.InsecureSkipVerify = cfg.insecure
	}
	return &target{name: s.name, ep: ep, pid: s.pid, bucket: fmt.Sprintf("bench-%08x", rand.Uint32())}, nil
}
