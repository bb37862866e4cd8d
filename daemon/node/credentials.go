package node

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/daemon/config"
	"holdfast/raftfsm/seal"
)

// credentialsFile lies on each drive of a stand-alone store whose root credentials nobody chose.
const credentialsFile = "CREDENTIALS"

// generatedRoot makes root credentials that nobody can guess: 160 bits of secret.
func generatedRoot() config.Root {
	enc := base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)
	user, password := make([]byte, 5), make([]byte, 20)
	rand.Read(user) // never fails: crypto/rand aborts the process instead (Go 1.24)
	rand.Read(password)
	return config.Root{User: "root-" + enc.EncodeToString(user), Password: enc.EncodeToString(password)}
}

// keepRoot writes generated credentials to one drive, readable by the owner alone.
func keepRoot(drivePath string, r config.Root) error {
	b, err := json.Marshal(map[string]string{"user": r.User, "password": r.Password})
	if err != nil {
		return err
	}
	tmp := filepath.Join(drivePath, credentialsFile+".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("drive %s: keep credentials: %w", drivePath, err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, filepath.Join(drivePath, credentialsFile))
	}
	if err == nil {
		err = syncDir(drivePath)
	}
	if err != nil {
		return fmt.Errorf("drive %s: keep credentials: %w", drivePath, err)
	}
	return nil
}

// keptRoots reads the generated credentials from the drives, each distinct pair once. A file that
// cannot be read or parsed is passed over: another drive has the same.
func keptRoots(drivePaths []string) []config.Root {
	var out []config.Root
	seen := map[config.Root]bool{}
	for _, p := range drivePaths {
		name := filepath.Join(p, credentialsFile)
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue // to open a FIFO would be to wait for whoever writes to it
		}
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		var kept struct{ User, Password string }
		if json.Unmarshal(b, &kept) != nil || kept.User == "" || kept.Password == "" {
			continue
		}
		r := config.Root{User: kept.User, Password: kept.Password}
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

// forgetRoot removes the generated credentials once an operator has chosen others.
func forgetRoot(drivePaths []string) error {
	var errs []error
	for _, p := range drivePaths {
		err := os.Remove(filepath.Join(p, credentialsFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = syncDir(p)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ErrNoRoot is returned when the store's root credentials were chosen by an operator and this start has none.
var ErrNoRoot = errors.New("root credentials are missing")

// rootChoice is which root credentials a start uses and where they came from.
type rootChoice struct {
	chosen    config.Root   // from the environment; unset: kept or generated
	generated config.Root   // made by this start
	kept      []config.Root // found on the drives
	old       config.Root   // from the environment
}

// chooseRoot decides which credentials to start with. An operator's choice wins over what an earlier
// start generated; without a choice what was generated stays in force.
func chooseRoot(cfg config.Config, birth bool, drivePaths []string) (rootChoice, error) {
	r := rootChoice{chosen: cfg.Root, old: cfg.RootOld}
	if birth {
		if !r.chosen.IsSet() {
			r.generated = generatedRoot()
		}
		return r, nil
	}
	r.kept = keptRoots(drivePaths)
	if !r.chosen.IsSet() && len(r.kept) == 0 {
		return r, fmt.Errorf("%w: this store was started with chosen ones: set HOLDFAST_ROOT_USER and HOLDFAST_ROOT_PASSWORD", ErrNoRoot)
	}
	return r, nil
}

// inForce is the pair that clients sign with from now on.
func (r *rootChoice) inForce() seal.Credentials {
	switch {
	case r.chosen.IsSet():
		return seal.Credentials(r.chosen)
	case r.generated.IsSet():
		return seal.Credentials(r.generated)
	}
	return seal.Credentials(r.kept[0])
}

// former lists the pairs that may have been in force before, nil first: none.
func (r *rootChoice) former() []*seal.Credentials {
	out := []*seal.Credentials{nil}
	if r.old.IsSet() {
		old := seal.Credentials(r.old)
		out = append(out, &old)
	}
	for _, k := range r.kept {
		kept := seal.Credentials(k)
		out = append(out, &kept)
	}
	return out
}

// keep writes generated credentials to every drive, before the birth is committed.
func (r *rootChoice) keep(drivePaths []string) error {
	if !r.generated.IsSet() {
		return nil
	}
	for _, p := range drivePaths {
		if err := keepRoot(p, r.generated); err != nil {
			return err
		}
	}
	return nil
}

// settle follows a successful start: generated credentials that an operator replaced are forgotten.
func (r *rootChoice) settle(drivePaths []string) error {
	if !r.chosen.IsSet() || len(r.kept) == 0 {
		return nil
	}
	return forgetRoot(drivePaths)
}
