# SPDX-License-Identifier: Apache-2.0
"""golden_test.py FILE: the Python client's messages are those of protocol/level1.golden."""

import sys
import unittest

import segue_level1 as level1
from segue_level1 import encode, encode_fields, number


def examples():
    main = encode_fields([(1, b"main"), (2, b"tcp:127.0.0.1:7000")])
    form = encode_fields([(1, b"echo"), (2, number(2)), (3, number(1))])
    asked = encode_fields([(1, b"echo"), (2, number(1))])
    return {
        "hello": encode(level1.HELLO, [(1, number(1)), (2, number(1)), (3, b"echo"), (4, b"two"),
                                       (5, form), (6, main)]),
        "welcome": encode(level1.WELCOME, [(1, number(1))]),
        "store-listener": encode(level1.STORE, [(1, number(1)), (2, number(0)), (3, b"main")], 1),
        "store-connection": encode(
            level1.STORE, [(1, number(2)), (2, number(258)), (3, b""), (4, b"left over")], 1),
        "close-connection": encode(
            level1.CLOSE, [(1, number(2)), (2, number(258)), (4, number(1))]),
        "freeze": encode(level1.FREEZE, [(1, number(3)), (2, number(5000)), (3, asked)]),
        "state": encode(level1.STATE, [(1, b"echo"), (2, number(1)), (3, number(4096)),
                                       (4, number(3))], 1),
        "frozen": encode(level1.FROZEN, [(1, number(3))]),
        "activate": encode(level1.ACTIVATE, [(1, number(0)), (2, number(7))]),
        "serving": encode(level1.SERVING),
        "resume": encode(level1.RESUME, [(1, number(1))]),
        "end": encode(level1.END, [(1, number(1))]),
    }


class Golden(unittest.TestCase):
    maxDiff = None

    def test_messages_are_what_the_protocol_says_they_are(self):
        golden = {}
        with open(GOLDEN, encoding="ascii") as lines:
            for line in lines:
                if not line.startswith("#"):
                    name, text = line.split()
                    golden[name] = text
        self.assertEqual({name: data.hex() for name, data in examples().items()}, golden)

    def test_what_was_encoded_comes_back(self):
        for name, data in examples().items():
            kind, fd_count, fields = level1.decode(data)
            self.assertEqual(encode(kind, fields, fd_count), data, name)

    def test_a_message_that_is_cut_anywhere_is_refused(self):
        for data in examples().values():
            for size in range(len(data)):
                with self.assertRaises(level1.ProtocolError):
                    level1.decode(data[:size])


if __name__ == "__main__":
    GOLDEN = sys.argv.pop(1)
    unittest.main()
