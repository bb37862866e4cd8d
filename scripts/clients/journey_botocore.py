"""Journey with botocore, of the low-level calls that the command line tools do not make."""

import hashlib
import io
import os
import sys
import urllib.request

import botocore
import botocore.config
import botocore.session
from botocore.exceptions import ClientError

BUCKET = "boto-core"
NAMES = ["with space", "plus+sign", "percent%25 and %", "ünïcödé/中文", "emoji-😀", "a&b=c?d#e", "quote'\"<>", "../dots/./kept",
         "double//slash", "/leading", "trailing/", "tilde~!$()*,;:@", "tab\tin it", "k" * 1024]


def client(style):
    config = botocore.config.Config(signature_version="s3v4", s3={"addressing_style": style}, retries={"max_attempts": 1})
    return botocore.session.get_session().create_client(
        "s3", region_name="us-east-1", endpoint_url="http://" + os.environ["ENDPOINT"],
        aws_access_key_id=os.environ["ACCESS_KEY"], aws_secret_access_key=os.environ["SECRET_KEY"], config=config)


def check(ok, what):
    if not ok:
        sys.exit(f"journey: {what}")


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        check(e.response["Error"]["Code"] == code, f"{arguments}: {e}, want {code}")
    else:
        check(False, f"{arguments}: accepted, want {code}")


def names(c):
    for i, name in enumerate(NAMES):
        body = os.urandom(100 + i)
        put = c.put_object(Bucket=BUCKET, Key=name, Body=body, Metadata={"colour": "blue"})
        check(put["ETag"].strip('"') == hashlib.md5(body).hexdigest(), f"etag of {name!r}")
        got = c.get_object(Bucket=BUCKET, Key=name)
        check(got["Body"].read() == body and got["Metadata"] == {"colour": "blue"}, f"bytes or metadata of {name!r}")
    for call in (c.list_objects, c.list_objects_v2):
        listed = [o["Key"] for o in call(Bucket=BUCKET)["Contents"]]
        check(listed == sorted(NAMES, key=lambda n: n.encode()), f"{call.__name__}: {listed}")


def parts(c):
    key, blocks = "in parts", [os.urandom(5 << 20), os.urandom(5 << 20), b"end"]
    upload = c.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    done = []
    for n in (3, 1, 2):  # any order
        etag = c.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=n, Body=blocks[n - 1])["ETag"]
        done.append({"PartNumber": n, "ETag": etag})
    listed = c.list_parts(Bucket=BUCKET, Key=key, UploadId=upload)["Parts"]
    check([p["PartNumber"] for p in listed] == [1, 2, 3], f"list_parts: {listed}")
    check(c.list_multipart_uploads(Bucket=BUCKET, Prefix=key)["Uploads"][0]["UploadId"] == upload, "list_multipart_uploads")
    refused("InvalidPartOrder", c.complete_multipart_upload, Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": done})
    done.sort(key=lambda p: p["PartNumber"])
    etag = c.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": done})["ETag"]
    want = hashlib.md5(b"".join(hashlib.md5(b).digest() for b in blocks)).hexdigest() + "-3"
    check(etag.strip('"') == want, f"multipart etag {etag}, want {want}")
    check(c.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"".join(blocks), "bytes of the multipart object")
    part = c.get_object(Bucket=BUCKET, Key=key, PartNumber=2)
    check(part["Body"].read() == blocks[1] and part["PartsCount"] == 3, "get of part 2")
    upload = c.create_multipart_upload(Bucket=BUCKET, Key="given up")["UploadId"]
    c.abort_multipart_upload(Bucket=BUCKET, Key="given up", UploadId=upload)
    refused("NoSuchUpload", c.list_parts, Bucket=BUCKET, Key="given up", UploadId=upload)


def ranges(c):
    body = os.urandom(1 << 20)
    c.put_object(Bucket=BUCKET, Key="range", Body=io.BytesIO(body), CacheControl="no-cache", ContentLanguage="eo")
    for text, want in (("bytes=0-0", body[:1]), ("bytes=-5", body[-5:]), ("bytes=1048570-", body[-6:]), ("bytes=65530-65545", body[65530:65546]),
                       ("bytes=5-99999999", body[5:])):
        check(c.get_object(Bucket=BUCKET, Key="range", Range=text)["Body"].read() == want, text)
    refused("InvalidRange", c.get_object, Bucket=BUCKET, Key="range", Range="bytes=1048576-")
    head = c.head_object(Bucket=BUCKET, Key="range")
    check((head["CacheControl"], head["ContentLanguage"], head["ContentLength"]) == ("no-cache", "eo", 1 << 20), f"head: {head}")
    got = c.get_object(Bucket=BUCKET, Key="range", ResponseContentType="text/other")
    check(got["ContentType"] == "text/other", "response-content-type")
    refused("304", c.get_object, Bucket=BUCKET, Key="range", IfNoneMatch=head["ETag"])
    refused("PreconditionFailed", c.get_object, Bucket=BUCKET, Key="range", IfMatch='"0"')


def presigned(c):
    url = c.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "emoji-😀"}, ExpiresIn=60)
    want = c.get_object(Bucket=BUCKET, Key="emoji-😀")["Body"].read()
    check(urllib.request.urlopen(url).read() == want, "presigned get")


def main():
    print("botocore", botocore.__version__)
    c = client("path")
    c.create_bucket(Bucket=BUCKET)
    check(c.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None, "location of us-east-1")
    for step in (names, parts, ranges, presigned):
        step(c)
    refused("NoSuchKey", c.get_object, Bucket=BUCKET, Key="not there")
    refused("NoSuchBucket", c.list_objects_v2, Bucket="no-such-bucket")
    refused("BucketNotEmpty", c.delete_bucket, Bucket=BUCKET)
    keys = [{"Key": o["Key"]} for o in c.list_objects_v2(Bucket=BUCKET)["Contents"]]
    out = c.delete_objects(Bucket=BUCKET, Delete={"Objects": keys + [{"Key": "not there"}]})
    check(len(out["Deleted"]) == len(keys) + 1, f"delete_objects: {out}")
    c.delete_bucket(Bucket=BUCKET)


main()
