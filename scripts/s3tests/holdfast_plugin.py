"""A pytest plugin that fits ceph/s3-tests to a server with one user and without IAM.

The suite cleans up before and after each test as three users and then walks IAM roles. Here the one
user's buckets are emptied, all versions with them, and open uploads are aborted.
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
        page = client.list_object_versions(Bucket=bucket, MaxKeys=500)
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        if not versions:
            return
        keys = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions]
        client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


def nuke_bucket(client, bucket):
    empty(client, bucket)
    client.delete_bucket(Bucket=bucket)


def teardown():
    functional.nuke_prefixed_buckets(prefix=functional.get_prefix())


functional.nuke_bucket = nuke_bucket
functional.setup = lambda: None
functional.teardown = teardown
