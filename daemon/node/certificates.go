package node

import (
	"log/slog"
	"os"
	"sync"
	"time"

	"holdfast/daemon/config"
	"holdfast/s3api"
)

// certificates reloads the TLS certificate when its file changes.
type certificates struct {
	*s3api.Certificates
	file string
	seen time.Time
	stop chan struct{}
	done sync.WaitGroup
}

// loadCertificates returns nil without TLS.
func loadCertificates(cfg config.Config, log *slog.Logger) (*certificates, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	loaded, err := s3api.LoadCertificates(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, err
	}
	c := &certificates{Certificates: loaded, file: cfg.TLSCert, stop: make(chan struct{})}
	c.changed()
	c.done.Go(func() { c.watch(log) })
	return c, nil
}

func (c *certificates) watch(log *slog.Logger) {
	tick := time.NewTicker(certRefresh)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
		if !c.changed() {
			continue
		}
		if err := c.Reload(); err != nil {
			log.Warn("certificate not reloaded, the old one stays", keyErr, err)
			c.seen = time.Time{} // the key may follow in a moment
			continue
		}
		log.Info("certificate reloaded", keyPath, c.file)
	}
}

// changed reports whether the file has another time than when last asked.
func (c *certificates) changed() bool {
	info, err := os.Stat(c.file)
	if err != nil || info.ModTime().Equal(c.seen) {
		return false
	}
	c.seen = info.ModTime()
	return true
}

func (c *certificates) close() {
	close(c.stop)
	c.done.Wait()
}
