// Package sigv4 verifies and makes AWS Signature Version 4: the Authorization header, presigned
// queries, and bodies in all their forms (literal SHA-256, unsigned, and aws-chunked with or
// without chunk signatures and trailers).
//
// It is pure: no sockets, no fasthttp, no clock but the one in Config. It sees a Request, a small
// view of the request line and headers as they came from the wire. The strings of a Request may
// alias a buffer that is used again after the request; nothing returned from here keeps them.
//
// What is authorized is what is used: Request.Parse decodes path and query once, the signature is
// checked over an encoding of that result, and the router reads the same fields.
//
// A Verifier is safe for concurrent use; a Request and a Body belong to one goroutine.
package sigv4
