"""Make a Python 3 package out of the installed Autobahn|Testsuite's test cases.

    port.py DESTINATION

The suite is Python 2. Of it only the package `autobahntestsuite.case` is needed: the 517 cases and
their grading. (What connects and collects is fuzz.py.) It is copied to DESTINATION as the package
`cases`; the installed original stays as it is.

Python 2 had one type for text and octets. The cases keep that picture: every payload in them is a
`str` with one character for each octet, U+0000 to U+00FF, that is Latin-1. Source is therefore
read as Latin-1: the literal "\\xc3\\xa4" and the two octets of an "ä" in the source come out the
same, as they did in Python 2. fuzz.py translates where a payload meets the network.

Every edit says in how many places it must apply, so that another version of the suite fails here
and not by grading wrongly.
"""

import importlib.util
import pathlib
import re
import sys

# (file pattern, regular expression, replacement, places over all files)
EDITS = [
    # Python 3 has no implicit relative imports.
    (r".*", r"(?m)^from (case\w*) import ", r"from .\1 import ", 285),
    (r".*", r"\bxrange\(", "range(", 11),
    (r".*", r"(?m)^( +)print\b[ ]*(.*)$", r"\1print(\2)", 11),
    # All classes are new-style in Python 3, where `object` cannot come before its subclass.
    (r".*", r"\(object, Case, \)", "(Case, )", 6),
    # Hex of a payload: text in, text out.
    (r".*", r"(?m)^import binascii$", "from fuzz import binascii", 13),
    (r"case12_x_x", r"(?m)hashlib, binascii$", "hashlib\nfrom fuzz import binascii", 1),
    # The path of a data file, without what setuptools needs for it.
    (r"case12_x_x", r"\bpkg_resources, ", "", 1),
    (r"case12_x_x", r"pkg_resources\.resource_filename\(", "data_file(", 3),
    (r"case12_x_x", r"(?m)^import copy", "from fuzz import data_file\nimport copy", 1),
    # These cases compute with octets: they want what they receive as such.
    (
        r"case12_x_x",
        r"(def onMessage\(self, msg, binary\):\n)",
        r"\1   msg = msg.encode('latin-1')\n",
        1,
    ),
    # Labels the vectors 6.5 to 6.23 valid or invalid.
    (
        r"case6_x_x",
        r"from autobahn\.websocket\.utf8validator import",
        "from fuzz import",
        1,
    ),
    # Equal lists can have different pickles in Python 3.
    (r"case", r"pickle\.dumps\(obj1\) == pickle\.dumps\(obj2\)", "obj1 == obj2", 1),
    # Integer division.
    (r"case10_1_1", r" / self\.p\.autoFragmentSize", " // self.p.autoFragmentSize", 1),
    # Not in the list of cases, and written for an old zope.interface.
    (r"__init__", r"(?m)^from \.case9_9_1 import \*$", "", 1),
]


def main(destination):
    spec = importlib.util.find_spec("autobahntestsuite")
    source = pathlib.Path(spec.submodule_search_locations[0]) / "case"
    target = pathlib.Path(destination) / "cases"
    target.mkdir(parents=True)
    places = [0] * len(EDITS)
    for path in sorted(source.glob("*.py")):
        if path.stem == "case9_9_1":
            continue
        text = path.read_bytes().decode("latin-1").replace("\r\n", "\n")
        text = re.sub(r"(?m)\A# coding.*$", "#", text)  # written as UTF-8 below
        for i, (files, pattern, replacement, _) in enumerate(EDITS):
            if re.fullmatch(files, path.stem):
                text, n = re.subn(pattern, replacement, text)
                places[i] += n
        compile(text, str(path), "exec")
        (target / path.name).write_text(text, encoding="utf-8")
    for (_, pattern, _, wanted), found in zip(EDITS, places):
        if found != wanted:
            sys.exit("port.py: /%s/ found %d times, not %d" % (pattern, found, wanted))


if __name__ == "__main__":
    main(sys.argv[1])
