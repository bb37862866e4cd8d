package s3api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bufio"

	"holdfast/s3api/sigv4"
)

// writeCert makes a self-signed certificate for name.
func writeCert(t *testing.T, certFile, keyFile, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	for file, data := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCert(t, certFile, keyFile, "one.test")
	certs, err := LoadCertificates(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, newMem())
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.srv.ServeTLS(inner, certs) }()
	dial := func(pool *x509.CertPool, name string, protos ...string) (*client, error) {
		c, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{RootCAs: pool, ServerName: name, NextProtos: protos})
		if err != nil {
			return nil, err
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		t.Cleanup(func() { c.Close() })
		return &client{t: t, conn: c, br: bufio.NewReader(c)}, nil
	}
	c, err := dial(pool, "one.test", "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("negotiated %q", p)
	}
	c.send(req{method: "PUT", target: "/bucket"}.text(t))
	if rep := c.receive("PUT"); rep.status != 200 {
		t.Errorf("PUT: %d %s", rep.status, rep.body)
	}
	if _, err := dial(pool, "one.test", "h2"); err == nil {
		t.Error("an h2-only client was taken")
	}

	// An early error is heard under TLS too.
	for range 3 {
		c, err := dial(pool, "one.test")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c.conn, req{method: "PUT", target: "/nobody/k", body: strings.Repeat("x", 5*mib), payload: sigv4.UnsignedPayload}.text(t))
		if rep := c.receive("PUT"); rep.code() != "NoSuchBucket" {
			t.Errorf("early error: %d %s %v", rep.status, rep.code(), rep.err)
		}
		c.conn.Close()
	}

	// A broken replacement changes nothing; a good one is served to the next connection.
	os.WriteFile(certFile, []byte("rubbish"), 0o600)
	if certs.Reload() == nil {
		t.Error("rubbish was loaded")
	}
	if _, err := dial(pool, "one.test"); err != nil {
		t.Errorf("after a failed reload: %v", err)
	}
	pool = writeCert(t, certFile, keyFile, "two.test")
	if err := certs.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(pool, "two.test"); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	inner.Close()
	if err := <-served; err != nil {
		t.Errorf("ServeTLS: %v", err)
	}
}
