package drive_test

import (
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/actors/drive"
	"holdfast/actors/drive/drivetest"
	"holdfast/actors/object"
)

func TestActorKeepsThePromisesOfADrive(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		drivetest.Run(t, func(t *testing.T) drivetest.Subject { return newRig(t, vfs.NewMem(), "/d").a.Actor })
	})
	t.Run("files", func(t *testing.T) {
		drivetest.Run(t, func(t *testing.T) drivetest.Subject {
			return &damager{Actor: newRig(t, vfs.Default, t.TempDir()+"/d").a.Actor, t: t}
		})
	})
}

// damager is an actor whose files a test can break.
type damager struct {
	*drive.Actor
	t *testing.T
}

var _ drivetest.Damager = (*damager)(nil)

func (d *damager) DamageShard(oid object.OID, off int64) {
	d.t.Helper()
	name, at, err := d.Place(oid, off)
	if err != nil {
		d.t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		d.t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		d.t.Fatal(err)
	}
}
