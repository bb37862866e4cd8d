package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"holdfast/scripts/process"
	"holdfast/scripts/s3light"
)

const (
	accessKey = "crashadmin"
	secretKey = "crashsecret0123456789"
)

// server is the process under test and the endpoint by which it is reached.
type server struct {
	process.Server
	args []string
	ep   *s3light.Endpoint
}

func newServer(o *options) (*server, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	ep, err := s3light.ParseEndpoint("http://"+address, s3light.Credentials{AccessKey: accessKey, SecretKey: secretKey})
	if err != nil {
		return nil, err
	}
	ep.Timeout = 20 * time.Second
	drives := filepath.Join(o.dir, fmt.Sprintf("drive{1...%d}", o.drives))
	args := strings.NewReplacer("{address}", address, "{drives}", drives).Replace(o.args)
	return &server{
		Server: process.Server{
			Binary: o.binary, Address: address, Dir: o.dir, Ready: o.ready,
			Env: []string{"HOLDFAST_ROOT_USER=" + accessKey, "HOLDFAST_ROOT_PASSWORD=" + secretKey},
		},
		args: strings.Fields(args), ep: ep,
	}, nil
}

// start runs the server and waits until it is ready; it returns how long that took.
func (s *server) start() (time.Duration, error) { return s.Start(s.args...) }
