// Package s3api speaks the S3 protocol over fasthttp: one pipeline (recover, request id, limits,
// authentication, routing, error encoding), one route table, one handler per operation.
package s3api
