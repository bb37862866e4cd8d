#!/usr/bin/env python3
"""Compare a junit report with the exceptions: judge.py REPORT EXCEPTIONS OUTPUT-OF-PYTEST."""

import re
import sys
import xml.etree.ElementTree as tree

import botocore


def exceptions(path):
    """Lines of "name: reason", or "name [botocore<1.36]: reason" for a test that an old client cannot run."""
    out = {}
    for line in open(path):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        m = re.fullmatch(r"(\w+)(?: \[botocore<([\d.]+)\])?: (.+)", line)
        if not m:
            sys.exit(f"{path}: want a name, a colon and a reason: {line}")
        name, below, reason = m.groups()
        if below is None or version(botocore.__version__) < version(below):
            out[name] = reason
    return out


def version(text):
    return [int(n) for n in text.split(".")[:2]]


def main():
    report, listed, output = sys.argv[1:]
    excused = exceptions(listed)
    passed, failed, skipped = set(), set(), set()
    for case in tree.parse(report).getroot().iter("testcase"):
        name = case.get("name")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif case.find("skipped") is not None:
            skipped.add(name)
        else:
            passed.add(name)
    passed -= failed
    bad = sorted(failed - excused.keys())
    stale = sorted(passed & excused.keys())
    if bad:
        print(open(output).read())
    print(f"s3tests: {len(passed)} passed, {len(failed)} failed of which {len(failed) - len(bad)} are listed exceptions, "
          f"{len(skipped)} skipped by the suite itself")
    for name in sorted(skipped):
        print("  SKIPPED", name)
    for name in bad:
        print("  FAILED", name)
    for name in stale:
        print("  PASSED although it is a listed exception", name)
    sys.exit(1 if bad or stale or skipped else 0)


main()
