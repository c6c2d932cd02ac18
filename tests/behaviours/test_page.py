"""The table in docs/compatibility.md names the tests of each behaviour: all of them, and none that is not there."""

import re

from broker import ROOT

PAGE = ROOT / "docs" / "compatibility.md"
# Their numbers are those of docs/security.md, which has a test of its own.
OF_SECURITY = {"test_floods.py", "test_secrets.py"}


def test_the_table_names_every_test():
    tests = set()
    for file in (ROOT / "tests" / "behaviours").glob("test_*.py"):
        if file.name in OF_SECURITY:
            continue
        for name in re.findall(r"^def (test_s\d\d_\w+)", file.read_text(), re.M):
            tests |= {(f"S-{number}", name) for number in re.findall(r"_s(\d\d)(?=_)", name)}
    named, unshown = set(), []
    for row in re.findall(r"^\| (S-\d\d) \|(.*)\|$", PAGE.read_text(), re.M):
        _, names, remark = row[1].split("|")
        named |= {(row[0], name) for name in re.findall(r"test_\w+", names)}
        if not names.strip() and not remark.strip():
            unshown.append(row[0])
    assert named == tests
    assert not unshown, "neither tests nor a remark"
