package s3err

// Code names one error of the S3 interface. The numbers are not stable; only String is on the wire.
type Code uint8

// The codes, grouped by the part of a request that they judge. Most bear AWS's name; several
// entries may share one wire code where AWS uses the code for different faults with different texts.
const (
	// InternalError is the zero value: what nobody classified is our fault.
	InternalError Code = iota

	// Who asks.
	AccessDenied
	AccountProblem
	AuthorizationHeaderMalformed
	AuthorizationQueryParametersError
	ExpiredToken
	HeadersNotSigned // AccessDenied: x-amz-* headers outside the signature
	InvalidAccessKeyId
	InvalidToken
	MissingSecurityHeader
	OnlyOneAuthMechanism // InvalidArgument: header and query both carry a signature
	RequestExpired       // AccessDenied: a presigned request after its time
	RequestNotYetValid   // AccessDenied: a presigned request before its time
	RequestTimeTooSkewed
	SignatureDoesNotMatch
	SignatureVersionNotSupported // InvalidRequest: Signature V2, V4A and others
	UnsupportedAuthorizationType // InvalidArgument

	// The request line and headers.
	BadRequest
	InvalidArgument
	InvalidRequest
	InvalidURI
	KeyTooLongError
	MetadataTooLarge
	MethodNotAllowed
	MissingContentLength
	MissingRequestBodyError
	NotImplemented
	RequestHeaderSectionTooLarge
	UnsupportedHeader // NotImplemented: a header implies functionality that is not implemented
	EncryptionNotSupported
	InvalidEncryptionAlgorithmError
	InvalidRange
	InvalidStorageClass
	InvalidTag
	InvalidDigest
	InvalidRedirectLocation

	// The body.
	BadDigest
	EntityTooLarge
	EntityTooSmall
	IncompleteBody
	InvalidChunkSizeError
	MalformedPOSTRequest
	MalformedTrailerError
	MalformedXML
	MaxMessageLengthExceeded
	RequestTimeout
	XAmzContentChecksumMismatch
	XAmzContentSHA256Mismatch

	// Buckets.
	BucketAlreadyExists
	BucketAlreadyOwnedByYou
	BucketNotEmpty
	IllegalLocationConstraintException
	IllegalVersioningConfiguration
	InvalidBucketName
	InvalidBucketState
	InvalidLocationConstraint
	NoSuchBucket
	NoSuchBucketPolicy
	NoSuchCORSConfiguration
	NoSuchLifecycleConfiguration
	NoSuchTagSet
	NoSuchWebsiteConfiguration
	ObjectLockConfigurationNotFoundError
	OwnershipControlsNotFoundError
	PermanentRedirect
	ReplicationConfigurationNotFoundError
	ServerSideEncryptionConfigurationNotFoundError
	NoSuchPublicAccessBlockConfiguration
	TooManyBuckets

	// Objects and uploads.
	InvalidCopySource   // InvalidArgument
	InvalidCopyToItself // InvalidRequest
	InvalidObjectState
	InvalidPart
	InvalidPartNumber // 416: partNumber behind the last part
	InvalidPartOrder
	NoSuchKey
	NoSuchUpload
	NoSuchVersion
	NotModified
	PreconditionFailed
	ConditionalRequestConflict
	OperationAborted

	// The state of the store.
	InsufficientStorage
	ServiceUnavailable
	SlowDown

	codeCount
)

type entry struct {
	code    string
	status  int
	message string
}

// lookup is a function over a constant table, not a map, so that nobody can change the catalogue.
func (c Code) entry() *entry {
	if c >= codeCount {
		c = InternalError
	}
	return &catalogue[c]
}

// String is the code as it stands on the wire.
func (c Code) String() string { return c.entry().code }

// Status is the HTTP status.
func (c Code) Status() int { return c.entry().status }

// Message is the text for people when the error brings none of its own.
func (c Code) Message() string { return c.entry().message }
