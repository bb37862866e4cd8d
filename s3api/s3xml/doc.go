// Package s3xml holds the XML documents of the S3 interface: requests are parsed, responses are
// written. It has no logic beyond their form, and no reflection: LIST writes and DeleteObjects
// reads a thousand entries per request.
//
// Requests are parsed by a small scanner of our own with hard limits: no DTD, no entities but the
// five of XML, depth <= MaxDepth, numbers of entries as in AWS. A document that holds an element
// that S3 does not know is MalformedXML, as in AWS: skipping it could mean to skip a condition.
//
// Responses are appended to a byte slice. Times are nanoseconds since the Unix epoch, ETags come
// without quotes, and text is escaped here. XML 1.0 cannot carry control characters other than tab,
// line feed and carriage return, nor U+FFFE and U+FFFF; keys may hold them. In listings, from which a
// client learns keys, they are written as character references, as AWS does: a strict parser then
// refuses the page loudly, where a replacement character would make it act on another key. Clients
// that ask for encoding-type=url (all SDKs do) never meet them. Documents that repeat the key of the
// request show U+FFFD instead: they must parse, for what they tell has happened.
// Bytes that are no UTF-8 cannot be in a key; they become U+FFFD.
//
// All values belong to the caller; nothing is retained.
package s3xml
