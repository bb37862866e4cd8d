// Package seal keeps the cluster's secrets secret at rest.
//
// Root credentials are stretched into a Root (argon2id over user and password, salted with the
// cluster's identity), from which keys are derived by purpose (HKDF-SHA256). A random cluster key is
// wrapped by one of them and stored beside everything else; secrets are sealed under the cluster
// key, so that changing the root credentials rewraps 32 bytes and leaves the secrets as they are.
//
//	wrapped  version 1 | argon2 passes 1 | argon2 KiB 4 LE | nonce 12 | AES-256-GCM(cluster key) 48
//	sealed   version 1 | nonce 12 | AES-256-GCM(secret)
//
// What a sealed secret belongs to (say, its access key) is authenticated with it, so that one cannot
// be put in another's place. Values of this package print as their type only.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/argon2"

	"holdfast/raftfsm/cluster"
)

const (
	version = 1
	// 19 MiB and 2 passes are OWASP's second argon2id profile: some 50 ms, and a memory that an idle node can give back.
	passes    = 2
	memoryKiB = 19 << 10
	// What a stored wrapping may ask for at most: more is damage, not a choice.
	maxPasses, maxKiB = 16, 256 << 10

	wrapHeader = 6
	keySize    = 32
)

// Credentials are the root user and password in clear.
type Credentials struct{ User, Password string }

// String never shows the password.
func (Credentials) String() string { return "root credentials" }

// GoString never shows the password.
func (c Credentials) GoString() string { return c.String() }

// Root is what the root credentials of one cluster were stretched into.
type Root struct {
	key    [keySize]byte
	passes uint8
	kib    uint32
}

// String never shows the key.
func (*Root) String() string { return "root-derived key" }

// GoString never shows the key.
func (r *Root) GoString() string { return r.String() }

// Stretch derives the root of a cluster. It takes some 50 ms and 19 MiB on purpose.
func Stretch(id cluster.ID, c Credentials) *Root { return stretch(id, c, passes, memoryKiB) }

func stretch(id cluster.ID, c Credentials, passes uint8, kib uint32) *Root {
	secret := binary.BigEndian.AppendUint64([]byte("holdfast root 1"), uint64(len(c.User)))
	secret = append(append(secret, c.User...), c.Password...)
	r := &Root{passes: passes, kib: kib}
	copy(r.key[:], argon2.IDKey(secret, id[:], uint32(passes), kib, 1, keySize))
	return r
}

// Key derives a key for one purpose; different purposes tell nothing of each other.
func (r *Root) Key(purpose string) [keySize]byte {
	k, err := hkdf.Key(sha256.New, r.key[:], nil, "holdfast "+purpose, keySize)
	if err != nil {
		panic(fmt.Sprintf("seal: derive %s: %v", purpose, err)) // lengths are constants
	}
	return [keySize]byte(k)
}

// Key is the cluster key.
type Key struct {
	raw  [keySize]byte
	aead cipher.AEAD
}

// String never shows the key.
func (*Key) String() string { return "cluster key" }

// GoString never shows the key.
func (k *Key) GoString() string { return k.String() }

// NewKey returns a random cluster key.
func NewKey() *Key {
	var raw [keySize]byte
	rand.Read(raw[:]) // never fails: crypto/rand aborts the process instead (Go 1.24)
	return newKey(raw)
}

func newKey(raw [keySize]byte) *Key { return &Key{raw: raw, aead: gcm(raw)} }

func gcm(key [keySize]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err == nil {
		var a cipher.AEAD
		if a, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return a
		}
	}
	panic(fmt.Sprintf("seal: %v", err)) // a 32-byte key is a valid AES key
}

// Wrap encrypts the cluster key under the root.
func (r *Root) Wrap(k *Key) []byte {
	b := []byte{version, r.passes}
	b = binary.LittleEndian.AppendUint32(b, r.kib)
	return gcm(r.Key("cluster key wrap")).Seal(b, nil, k.raw[:], b[:wrapHeader])
}

// Unwrap finds the cluster key in what Wrap made. ErrRootMismatch says that it was made for other
// root credentials.
func Unwrap(id cluster.ID, c Credentials, wrapped []byte) (*Key, error) {
	if len(wrapped) < wrapHeader {
		return nil, fmt.Errorf("seal: unwrap: %w: %d bytes", ErrMalformed, len(wrapped))
	}
	if wrapped[0] != version {
		return nil, fmt.Errorf("seal: unwrap: %w: version %d", ErrMalformed, wrapped[0])
	}
	n, kib := wrapped[1], binary.LittleEndian.Uint32(wrapped[2:])
	if n == 0 || n > maxPasses || kib == 0 || kib > maxKiB {
		return nil, fmt.Errorf("seal: unwrap: %w: %d passes over %d KiB", ErrMalformed, n, kib)
	}
	root := stretch(id, c, n, kib)
	raw, err := gcm(root.Key("cluster key wrap")).Open(nil, nil, wrapped[wrapHeader:], wrapped[:wrapHeader])
	if err != nil || len(raw) != keySize {
		return nil, fmt.Errorf("seal: unwrap: %w", ErrRootMismatch)
	}
	return newKey([keySize]byte(raw)), nil
}

// Seal encrypts a secret that belongs to owner.
func (k *Key) Seal(owner, secret string) []byte {
	b := []byte{version}
	return k.aead.Seal(b, nil, []byte(secret), binding(owner))
}

// Open decrypts what Seal made for owner.
func (k *Key) Open(owner string, sealed []byte) (string, error) {
	if len(sealed) == 0 || sealed[0] != version {
		return "", fmt.Errorf("seal: open: %w", ErrMalformed)
	}
	secret, err := k.aead.Open(nil, nil, sealed[1:], binding(owner))
	if err != nil {
		return "", fmt.Errorf("seal: open: %w", ErrForeign)
	}
	return string(secret), nil
}

func binding(owner string) []byte { return append([]byte{version}, owner...) }
