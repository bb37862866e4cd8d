package main

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"holdfast/scripts/process"
	"holdfast/scripts/s3light"
)

const controlLimit = 5 * time.Second

// server is the process under test, which takes orders that bring faults.
type server struct {
	process.Server
	drives  []string
	starts  int
	control string // socket of the present start
}

// newServer chooses an address.
func newServer(o *options, dir string, drives []string, lost func(string)) (*server, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	return &server{
		Server: process.Server{
			Binary: o.server, Address: address, Dir: dir, Ready: "/-/health/ready", Lost: lost,
			Env: []string{"HOLDFAST_ROOT_USER=" + o.accessKey, "HOLDFAST_ROOT_PASSWORD=" + o.secretKey},
		},
		drives: drives,
	}, nil
}

func (s *server) endpoint(o *options) (*s3light.Endpoint, error) {
	return s3light.ParseEndpoint("http://"+s.Address, s3light.Credentials{AccessKey: o.accessKey, SecretKey: o.secretKey})
}

// start runs the server with a clock offset and waits until it is ready. Half of the starts hide file
// descriptors from the drives.
func (s *server) start(offset time.Duration, plain bool) error {
	s.starts++
	s.control = filepath.Join(s.Dir, fmt.Sprintf("control-%d", s.starts))
	args := []string{"--address", s.Address, "--control", s.control, "--clock", offset.String()}
	if plain {
		args = append(args, "--plain-files")
	}
	_, err := s.Start(append(args, s.drives...)...)
	return err
}

// order sends one command to the control socket.
func (s *server) order(words ...string) error {
	c, err := net.DialTimeout("unix", s.control, controlLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(controlLimit)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, strings.Join(words, " ")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "ok\n" {
		return fmt.Errorf("control %q: %s", words, strings.TrimSpace(answer))
	}
	return nil
}
