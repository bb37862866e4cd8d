// Package stub is an S3 server in memory, correct or wrong in a chosen way: what the tests of the torture
// tool and of its judge run against. It depends on nothing but the standard library, and checks no
// signatures. It is safe for concurrent use.
package stub

import (
	"crypto/md5" // an ETag of S3 is an MD5
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Wrong is what a Store does that no server may do.
type Wrong struct {
	Lose int  // of so many acknowledged writes one does not happen; 0: all do
	Rot  bool // one byte of each body is another
	Race bool // conditions are judged before a write, not together with it
	Hide bool // lists lack their first key
	Keep bool // deletes do not happen
}

// Store is an http.Handler. It does what the tool's clients ask, but for uploads in parts, which it
// refuses as not implemented.
type Store struct {
	wrong   Wrong
	mu      sync.Mutex
	objects map[string][]byte // guarded by mu
	writes  int               // guarded by mu
}

// New returns an empty store.
func New(w Wrong) *Store { return &Store{wrong: w, objects: map[string][]byte{}} }

func tag(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// ServeHTTP implements http.Handler.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case key == "" && r.Method == http.MethodPut:
	case key == "" && r.Method == http.MethodPost:
		s.deleteMany(w, body)
	case key == "":
		s.list(w, r)
	case r.URL.Query().Has("uploads") || r.URL.Query().Has("uploadId"):
		fail(w, http.StatusNotImplemented, "NotImplemented")
	case r.Method == http.MethodPut:
		s.put(w, r, key, body)
	case r.Method == http.MethodDelete:
		if m := r.Header.Get("If-Match"); m != "" && s.objects[key] != nil && m != `"`+tag(s.objects[key])+`"` {
			fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		s.remove(key)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.get(w, r, key)
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>stub</Message></Error>", code)
}

// unchunk takes the signed chunks apart.
func unchunk(b []byte) (out []byte) {
	for {
		head, rest, ok := strings.Cut(string(b), "\r\n")
		var n int
		if _, err := fmt.Sscanf(head, "%x;", &n); !ok || err != nil || n == 0 {
			return out
		}
		out = append(out, rest[:n]...)
		b = []byte(rest[n+2:])
	}
}

func (s *Store) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if r.Header.Get("X-Amz-Decoded-Content-Length") != "" {
		body = unchunk(body)
	}
	cur := s.objects[key]
	if src := r.Header.Get("X-Amz-Copy-Source"); src != "" {
		src, _ = url.PathUnescape(src)
		_, src, _ = strings.Cut(strings.TrimPrefix(src, "/"), "/")
		if body = s.objects[src]; body == nil {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		if r.Header.Get("X-Amz-Copy-Source-If-Match") != `"`+tag(body)+`"` {
			fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	}
	match := r.Header.Get("If-Match")
	if match != "" && cur == nil {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	if match != "" && match != `"`+tag(cur)+`"` || r.Header.Get("If-None-Match") == "*" && cur != nil {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if s.wrong.Race {
		s.mu.Unlock()
		time.Sleep(time.Millisecond) // others get between condition and write
		s.mu.Lock()
	}
	s.writes++
	if s.wrong.Lose == 0 || s.writes%s.wrong.Lose != 0 {
		s.objects[key] = body
	}
	w.Header().Set("ETag", `"`+tag(body)+`"`)
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		fmt.Fprintf(w, "<CopyObjectResult><ETag>&quot;%s&quot;</ETag></CopyObjectResult>", tag(body))
	}
}

func (s *Store) get(w http.ResponseWriter, r *http.Request, key string) {
	b := s.objects[key]
	if b == nil {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("ETag", `"`+tag(b)+`"`)
	status := http.StatusOK
	if rng := r.Header.Get("Range"); rng != "" {
		var from, to int
		fmt.Sscanf(rng, "bytes=%d-%d", &from, &to)
		b, status = b[from:to+1], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		if s.wrong.Rot {
			b = slices.Clone(b)
			b[len(b)/2] ^= 1
		}
		w.Write(b)
	}
}

// listing is the answer to ListObjectsV2.
type listing struct {
	XMLName     xml.Name `xml:"ListBucketResult"`
	IsTruncated bool
	Contents    []entry
}

type entry struct {
	Key, ETag string
	Size      int
}

func (s *Store) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := 0
	fmt.Sscan(q.Get("max-keys"), &limit)
	var l listing
	var keys []string
	for k := range s.objects {
		if strings.HasPrefix(k, q.Get("prefix")) && k > q.Get("start-after") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if s.wrong.Hide && len(keys) > 0 {
		keys = keys[1:]
	}
	for _, k := range keys[:min(limit, len(keys))] {
		l.Contents = append(l.Contents, entry{k, `"` + tag(s.objects[k]) + `"`, len(s.objects[k])})
	}
	l.IsTruncated = len(keys) > limit
	xml.NewEncoder(w).Encode(l)
}

// remove deletes a key. s.mu is held.
func (s *Store) remove(key string) {
	if !s.wrong.Keep {
		delete(s.objects, key)
	}
}

func (s *Store) deleteMany(w http.ResponseWriter, body []byte) {
	var doc struct{ Object []struct{ Key, ETag string } }
	if err := xml.Unmarshal(body, &doc); err != nil {
		fail(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	fmt.Fprint(w, "<DeleteResult>")
	for _, o := range doc.Object {
		if b := s.objects[o.Key]; o.ETag != "" && b != nil && o.ETag != tag(b) {
			fmt.Fprintf(w, "<Error><Key>%s</Key><Code>PreconditionFailed</Code></Error>", o.Key)
			continue
		}
		s.remove(o.Key)
		fmt.Fprintf(w, "<Deleted><Key>%s</Key></Deleted>", o.Key)
	}
	fmt.Fprint(w, "</DeleteResult>")
}
