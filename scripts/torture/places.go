package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// smallSize is the size of the file system that one drive has for itself.
const smallSize = 1 << 30

// places are the directories of the drives. One of them may lie on a small file system of its own, which
// can be filled to the last byte; without root there is none, and a full drive is only pretended.
type places struct {
	drives []string
	small  int    // which drive lies on the small file system; -1: none
	mount  string // where that is mounted
}

// makePlaces makes the places below dir.
func makePlaces(dir string, n, small int) (*places, error) {
	p := &places{small: -1}
	if err := os.MkdirAll(filepath.Join(dir, "drives"), 0o700); err != nil {
		return nil, err
	}
	for i := range n {
		p.drives = append(p.drives, filepath.Join(dir, "drives", fmt.Sprintf("drive%d", i+1)))
	}
	mount := filepath.Join(dir, "small")
	if err := mountSmall(filepath.Join(dir, "small.img"), mount); err != nil {
		fmt.Printf("no small file system for a drive (%v): a full drive is pretended\n", err)
		return p, nil
	}
	p.small, p.mount = small, mount
	p.drives[small] = filepath.Join(mount, fmt.Sprintf("drive%d", small+1))
	return p, nil
}

// mountSmall makes an ext4 in a sparse file and mounts it, or a tmpfs where that cannot be done.
func mountSmall(image, mount string) error {
	if os.Getuid() != 0 {
		return errors.New("not root")
	}
	if err := os.MkdirAll(mount, 0o700); err != nil {
		return err
	}
	loop := func() error {
		f, err := os.Create(image)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(smallSize), f.Close()); err != nil {
			return err
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput(); err != nil {
			return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
		}
		if out, err := exec.Command("mount", "-o", "loop", image, mount).CombinedOutput(); err != nil {
			return fmt.Errorf("mount: %w: %s", err, out)
		}
		return nil
	}
	if loop() == nil {
		return nil
	}
	os.Remove(image)
	return unix.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%d", smallSize))
}

// fill takes every byte that is left on the small file system; free gives them back.
func (p *places) fill() error {
	f, err := os.OpenFile(p.filler(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	at := info.Size()
	for step := int64(64 << 20); step >= 4<<10; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, step); {
		case err == nil:
			at += step
		case errors.Is(err, unix.ENOSPC):
			step /= 4
		case errors.Is(err, unix.EINTR):
		default:
			return fmt.Errorf("fill %s: %w", p.mount, err)
		}
	}
	return nil
}

func (p *places) filler() string { return filepath.Join(p.mount, "filler") }

func (p *places) free() error { return os.Remove(p.filler()) }

// away is where an absent drive's directory lies.
func (p *places) away(i int) string { return p.drives[i] + ".away" }

// close unmounts what was mounted. No process may use it any more.
func (p *places) close() error {
	if p.small < 0 {
		return nil
	}
	if out, err := exec.Command("umount", p.mount).CombinedOutput(); err != nil {
		return fmt.Errorf("umount: %w: %s", err, out)
	}
	return nil
}
