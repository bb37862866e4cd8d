// Journey with aws-sdk-js v3. ENDPOINT, ACCESS_KEY and SECRET_KEY name the server.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  S3Client, CreateBucketCommand, PutObjectCommand, GetObjectCommand, HeadObjectCommand, CopyObjectCommand, ListObjectsV2Command,
  DeleteObjectsCommand, DeleteBucketCommand, NoSuchKey, paginateListObjectsV2,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const { ENDPOINT, ACCESS_KEY, SECRET_KEY } = process.env;
const Bucket = 'aws-sdk-js';
const client = new S3Client({
  endpoint: `http://${ENDPOINT}`, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1,
  credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
});
const names = ['with space', 'plus+sign', 'percent%25 and %', 'ünïcödé/中文', 'emoji-😀', 'a&b=c?d#e', `quote'"<>`, 'double//slash',
  'trailing/', 'tilde~!$()*,;:@', 'k'.repeat(1024)];

async function bytes(Key, extra = {}) {
  const out = await client.send(new GetObjectCommand({ Bucket, Key, ...extra }));
  return Buffer.from(await out.Body.transformToByteArray());
}

await client.send(new CreateBucketCommand({ Bucket }));

for (const size of [0, 1, 5 << 20]) {
  const Body = randomBytes(size);
  await client.send(new PutObjectCommand({ Bucket, Key: `size/${size}`, Body, Metadata: { colour: 'blue' } }));
  assert.ok((await bytes(`size/${size}`)).equals(Body), `object of ${size} bytes`);
  const head = await client.send(new HeadObjectCommand({ Bucket, Key: `size/${size}` }));
  assert.equal(head.ContentLength, size);
  assert.deepEqual(head.Metadata, { colour: 'blue' });
}

// A stream of unknown length goes up in parts.
const large = randomBytes(70 << 20);
const pieces = Readable.from((function* () { for (let i = 0; i < large.length; i += 1 << 20) yield large.subarray(i, i + (1 << 20)); })());
await new Upload({ client, params: { Bucket, Key: 'size/large', Body: pieces }, partSize: 8 << 20 }).done();
assert.ok((await bytes('size/large')).equals(large), 'multipart object');
assert.ok((await bytes('size/large', { Range: 'bytes=8388600-8388615' })).equals(large.subarray(8388600, 8388616)), 'range');

const algorithms = ['CRC32', 'CRC32C', 'SHA1', 'SHA256']; // CRC64NVME takes a native module here
for (const algorithm of algorithms) {
  const Body = randomBytes(70_000);
  await client.send(new PutObjectCommand({ Bucket, Key: `checksum/${algorithm}`, Body, ChecksumAlgorithm: algorithm }));
  assert.ok((await bytes(`checksum/${algorithm}`, { ChecksumMode: 'ENABLED' })).equals(Body), algorithm);
}

for (const Key of names) {
  const Body = randomBytes(100);
  await client.send(new PutObjectCommand({ Bucket, Key, Body }));
  assert.ok((await bytes(Key)).equals(Body), Key);
}
await client.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/${encodeURIComponent('emoji-😀')}` }));
assert.ok((await bytes('copy')).equals(await bytes('emoji-😀')), 'copy');

const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: 'plus+sign' }), { expiresIn: 60 });
assert.ok(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(await bytes('plus+sign')), 'presigned');
await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key: 'not there' })), NoSuchKey);
await assert.rejects(client.send(new PutObjectCommand({ Bucket, Key: 'copy', Body: 'x', IfNoneMatch: '*' })), { name: 'PreconditionFailed' });

const keys = [];
for await (const page of paginateListObjectsV2({ client, pageSize: 4 }, { Bucket })) for (const o of page.Contents ?? []) keys.push(o.Key);
const want = [...names, 'copy', 'size/0', 'size/1', `size/${5 << 20}`, 'size/large',
  ...algorithms.map((a) => `checksum/${a}`)];
assert.deepEqual(keys, want.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
const top = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: '/', Prefix: 'size' }));
assert.deepEqual(top.CommonPrefixes.map((p) => p.Prefix), ['size/']);

const out = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
assert.equal(out.Deleted.length, keys.length);
await client.send(new DeleteBucketCommand({ Bucket }));
