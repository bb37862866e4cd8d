package sigv4

import (
	"container/list"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
	"sync"
)

// scope is the credential scope without the access key.
type scope struct{ date, region, service string }

func (sc *scope) append(dst []byte) []byte {
	dst = append(dst, sc.date...)
	dst = append(dst, '/')
	dst = append(dst, sc.region...)
	dst = append(dst, '/')
	dst = append(dst, sc.service...)
	return append(dst, '/', 'a', 'w', 's', '4', '_', 'r', 'e', 'q', 'u', 'e', 's', 't')
}

// signingKey is a derived key. It is valid for one scope of one secret; its strings are its own.
type signingKey struct {
	accessKey string
	secret    string
	scope     scope
	macs      sync.Pool // *mac of the derived key; a reset one costs no key schedule
}

// mac is a keyed hash and room for its result, which would else escape.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

func newSigningKey(accessKey, secret string, sc scope) *signingKey {
	k := &signingKey{
		accessKey: strings.Clone(accessKey),
		secret:    secret,
		scope:     scope{strings.Clone(sc.date), strings.Clone(sc.region), strings.Clone(sc.service)},
	}
	derived := hmacSum([]byte("AWS4"+secret), sc.date)
	derived = hmacSum(derived, sc.region)
	derived = hmacSum(derived, sc.service)
	derived = hmacSum(derived, terminal)
	k.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, derived)} }
	return k
}

func hmacSum(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// sign writes the signature of toSign as hex digits.
func (k *signingKey) sign(toSign []byte) (sig signature) {
	m := k.macs.Get().(*mac)
	m.Reset()
	m.Write(toSign)
	hex.Encode(sig[:], m.Sum(m.sum[:0]))
	k.macs.Put(m)
	return sig
}

// signature is a signature as 64 lower-case hex digits.
type signature [2 * sha256.Size]byte

// keyCache keeps the signing keys that verified something lately. Only keys that passed are put
// in, so that nobody without a secret can turn it over.
type keyCache struct {
	mu    sync.Mutex
	limit int
	byID  map[keyID]*list.Element // guarded by mu; values are *signingKey
	order *list.List              // guarded by mu; most recently used first
}

type keyID struct {
	accessKey string
	scope     scope
}

func newKeyCache(limit int) *keyCache {
	return &keyCache{limit: limit, byID: make(map[keyID]*list.Element), order: list.New()}
}

// get returns a cached key, or nil. A key of another secret (it was changed) is none.
func (c *keyCache) get(accessKey, secret string, sc scope) *signingKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[keyID{accessKey, sc}]
	if e == nil {
		return nil
	}
	k := e.Value.(*signingKey)
	if k.secret != secret {
		return nil
	}
	c.order.MoveToFront(e)
	return k
}

// put remembers a key in place of an older one of the same scope or of the least recently used.
func (c *keyCache) put(k *signingKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := keyID{k.accessKey, k.scope}
	if e := c.byID[id]; e != nil {
		e.Value = k
		c.order.MoveToFront(e)
		return
	}
	c.byID[id] = c.order.PushFront(k)
	if c.order.Len() > c.limit {
		old := c.order.Remove(c.order.Back()).(*signingKey)
		delete(c.byID, keyID{old.accessKey, old.scope})
	}
}
