"""A pytest plugin that fits ceph/s3-tests to a server with one user and without versioning or IAM.

The suite cleans up before and after each test as three users, by versions, and then walks IAM roles.
Here the one user's buckets are emptied by plain listing, and open uploads are aborted with them.
"""

import s3tests.functional as functional


def empty(client, bucket):
    while True:
        uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        for upload in uploads:
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        if not uploads:
            break
    while True:
        objects = client.list_objects(Bucket=bucket, MaxKeys=500).get("Contents", [])
        if not objects:
            return
        keys = [{"Key": o["Key"]} for o in objects]
        client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


def nuke_bucket(client, bucket):
    empty(client, bucket)
    client.delete_bucket(Bucket=bucket)


def teardown():
    functional.nuke_prefixed_buckets(prefix=functional.get_prefix())


functional.nuke_bucket = nuke_bucket
functional.setup = lambda: None
functional.teardown = teardown
