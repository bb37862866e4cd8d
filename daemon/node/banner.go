package node

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"

	"holdfast/daemon/config"
)

// greeting is what a person or a script is told once the node serves.
type greeting struct {
	Version     string   `json:"version"`
	Endpoints   []string `json:"endpoints"`
	Drives      int      `json:"drives"`
	Online      int      `json:"drives_online"`
	Absent      []string `json:"drives_absent,omitempty"`
	SetSize     int      `json:"set_size"`
	Data        int      `json:"data_shards"`
	Parity      int      `json:"parity_shards"`
	Sets        int      `json:"sets"`
	Raw         int64    `json:"capacity_raw_bytes"`
	Usable      int64    `json:"capacity_usable_bytes"`
	Free        int64    `json:"free_usable_bytes"`
	RootUser    string   `json:"root_user"`
	Warnings    []string `json:"warnings,omitempty"`
	newPassword string   // printed once to a person when it was generated, never in JSON logs
	keptIn      string
}

func (g *greeting) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Msg string `json:"msg"`
			*greeting
		}{"serving", g})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nHoldfast %s\n", g.Version)
	fmt.Fprintf(&b, "  S3 API     %s\n", strings.Join(g.Endpoints, "  "))
	fmt.Fprintf(&b, "  Drives     %d of %d online\n", g.Online, g.Drives)
	for _, a := range g.Absent {
		fmt.Fprintf(&b, "             ABSENT %s\n", a)
	}
	fmt.Fprintf(&b, "  Sets       %d erasure sets of %d drives: %d data + %d parity\n", g.Sets, g.SetSize, g.Data, g.Parity)
	fmt.Fprintf(&b, "  Tolerance  %s\n", g.tolerance())
	fmt.Fprintf(&b, "  Capacity   %s raw, %s usable, %s free\n", bytesText(g.Raw), bytesText(g.Usable), bytesText(g.Free))
	fmt.Fprintf(&b, "  Root user  %s\n", g.RootUser)
	if g.newPassword != "" {
		fmt.Fprintf(&b, "  Password   %s\n             (generated, kept in %s on each drive; set HOLDFAST_ROOT_USER and HOLDFAST_ROOT_PASSWORD to choose your own)\n", g.newPassword, g.keptIn)
	}
	secret := "YOUR-PASSWORD"
	if g.newPassword != "" {
		secret = g.newPassword
	}
	fmt.Fprintf(&b, "\nNext steps\n")
	fmt.Fprintf(&b, "  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_DEFAULT_REGION=us-east-1\n", g.RootUser, secret)
	fmt.Fprintf(&b, "  aws --endpoint-url %s s3 mb s3://first\n", g.Endpoints[0])
	fmt.Fprintf(&b, "  mc alias set holdfast %s %s %s\n\n", g.Endpoints[0], g.RootUser, secret)
	for _, warning := range g.Warnings {
		fmt.Fprintf(&b, "WARNING: %s\n", warning)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tolerance says how many drives may be lost for reads and for writes.
func (g *greeting) tolerance() string {
	if g.SetSize == 1 {
		return "none: one drive alone has no redundancy"
	}
	more := g.Parity - (g.Drives - g.Online)
	switch {
	case more < 0:
		return fmt.Sprintf("NONE LEFT: %d drives are absent, and objects that had a shard on more than %d of them cannot be read", -more+g.Parity, g.Parity)
	case more == 0:
		return "NONE LEFT: objects are read, but writes lack their quorum until a drive is back"
	}
	return fmt.Sprintf("reads survive the loss of %d more drive(s), writes of %d", more, more-1)
}

// bytesText prints a size the way people read disks: binary units, three digits.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return fmt.Sprintf("%.3g %s", f, units[i])
}

// endpoints lists URLs under which the listener can be reached, the loopback one first.
func endpoints(addr net.Addr, c config.Config) []string {
	scheme := "http://"
	if c.TLSCert != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return []string{scheme + addr.String()}
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		return []string{scheme + net.JoinHostPort(host, port)}
	}
	out := []string{scheme + net.JoinHostPort("127.0.0.1", port)}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return out
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, scheme+net.JoinHostPort(n.IP.String(), port))
		}
	}
	return out
}
