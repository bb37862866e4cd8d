// Package s3light is the light S3 client of the scripts: the load generator, the crash loop and the torture
// use it, so that a measurement on a shared machine shows the server and not the client.
//
// It is not a general S3 client: no retries, no redirects, no credential chains, no multipart helper.
// One Conn is one TCP (or TLS) connection owned by one goroutine; a request head is built in the
// connection's own buffer, signed with Signature V4 without allocating, and sent with its body in one
// system call where that fits. The answer's head is parsed by fasthttp; its body is discarded,
// collected or compared while it is read, never held whole unless asked for.
//
// Memory: everything a Conn returns (Body, ETag) is valid until the next call on that Conn.
package s3light
