#!/usr/bin/env python3
"""Write selected.txt: the tests of ceph/s3-tests that belong to the operations Holdfast serves.

    choose.py PATH-OF-CHECKOUT > selected.txt

A test is chosen by the operations it calls, directly or through helpers of its own file, and never by
its outcome. What is left out is printed to standard error, each with the operation that is to blame.
"""

import ast
import pathlib
import sys

import botocore
import botocore.session

CORE = """
    list_buckets create_bucket head_bucket delete_bucket get_bucket_location
    put_object get_object head_object delete_object delete_objects copy_object get_object_attributes
    list_objects list_objects_v2
    create_multipart_upload upload_part upload_part_copy complete_multipart_upload abort_multipart_upload
    list_parts list_multipart_uploads
    put_bucket_versioning get_bucket_versioning list_object_versions
""".split()

# Markers of ceph/s3-tests that name another operation or another signature.
OTHER_MARKERS = """
    lifecycle lifecycle_expiration lifecycle_transition encryption sse_s3 bucket_policy bucket_encryption tagging
    object_lock object_ownership bucket_logging bucket_logging_cleanup s3website s3select sns cloud_transition
    cloud_restore appendobject storage_class test_of_sts iam_account iam_user iam_tenant iam_role auth_aws2
    target_by_bucket
""".split()

# Arguments that ask for another operation's feature. An ACL is judged apart: see blame.
OTHER_ARGUMENTS = """
    Tagging ServerSideEncryption SSECustomerAlgorithm SSEKMSKeyId ObjectLockMode ObjectLockEnabledForBucket
    ObjectOwnership ExpectedBucketOwner WebsiteRedirectLocation GrantRead GrantFullControl
""".split()

# A second user is another operation (users); so is a browser's POST form, and SSE-C by raw headers.
OTHER_NAMES = {
    "get_alt_client": "users", "get_tenant_client": "users", "get_new_bucket_resource_alt": "users",
    "post_object": "POST form", "_get_post_url": "POST form", "_cors_request_and_check": "CORS", "options": "CORS",
    "get_iam_client": "IAM",
    "_multipart_upload_enc": "encryption", "_test_encryption_sse_customer_write": "encryption",
}
OTHER_WORDS = {"torrent": "GetObjectTorrent", "sse_c": "encryption", "_tenant": "users", "_acl": "ACL"}


def operations():
    model = botocore.session.get_session().get_service_model("s3")
    return {botocore.xform_name(name): name for name in model.operation_names}


class Facts(ast.NodeVisitor):
    """What one function calls and which arguments it names."""

    def __init__(self):
        self.calls, self.arguments = set(), set()

    def visit_Call(self, node):
        f = node.func
        if isinstance(f, ast.Attribute):
            self.calls.add(f.attr)
        elif isinstance(f, ast.Name):
            self.calls.add(f.id)
        self.arguments.update(k.arg for k in node.keywords if k.arg)
        self.generic_visit(node)

    def visit_Attribute(self, node):
        self.calls.add(node.attr)  # assert_raises(ClientError, client.put_object, ..)
        self.generic_visit(node)

    def visit_Name(self, node):
        self.calls.add(node.id)


def gather(name, functions, facts, seen):
    """The facts of a function and of all helpers it reaches."""
    if name in seen or name not in functions:
        return
    seen.add(name)
    own = Facts()
    for statement in functions[name].body:
        own.visit(statement)
    facts.calls |= own.calls
    # A helper's optional arguments say nothing about the test that leaves them out; its ACL is always sent.
    facts.arguments |= own.arguments if len(seen) == 1 else own.arguments & {"ACL"}
    for called in own.calls:
        gather(called, functions, facts, seen)


def blame(test, marks, facts, ops):
    """The reason a test is not selected, or None."""
    for mark in marks:
        if mark in OTHER_MARKERS:
            return mark
    for word, reason in OTHER_WORDS.items():
        if word in test:
            return reason
    for call in sorted(facts.calls):
        if call in OTHER_NAMES:
            return OTHER_NAMES[call]
        if call in ops and call not in CORE:
            return ops[call]
    for argument in sorted(facts.arguments):
        if argument in OTHER_ARGUMENTS:
            return argument
    # An ACL that only prepares a call with valid credentials changes nothing; with an anonymous
    # caller it is what is tested.
    if "ACL" in facts.arguments and "get_unauthenticated_client" in facts.calls:
        return "ACL"
    return None


def marks_of(function):
    for d in function.decorator_list:
        text = ast.unparse(d)
        if text.startswith("pytest.mark."):
            yield text.removeprefix("pytest.mark.").split("(")[0]


def main():
    root = pathlib.Path(sys.argv[1])
    ops = operations()
    print("# Tests of ceph/s3-tests whose operations Holdfast serves, as choose.py chooses them.")
    for file in ("test_s3.py", "test_headers.py"):
        path = pathlib.Path("s3tests/functional") / file
        tree = ast.parse((root / path).read_text())
        functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        for name, function in functions.items():
            if not name.startswith("test_"):
                continue
            facts = Facts()
            gather(name, functions, facts, set())
            reason = blame(name, list(marks_of(function)), facts, ops)
            if reason is None:
                print(f"{path}::{name}")
            else:
                print(f"{name}: {reason}", file=sys.stderr)


main()
