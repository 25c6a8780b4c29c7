"""unittest.main in a script: it looks for the tests in __main__ and ends with sys.exit."""

import sys
import unittest


class TestIt(unittest.TestCase):
    def test_right(self):
        self.assertEqual(1, 1)

    def test_wrong(self):
        self.assertEqual(1, 2)


if __name__ == "__main__":
    program = unittest.main(testRunner=unittest.TextTestRunner(open("/dev/null", "w")), exit=False)
    print(program.result, program.module, [(str(test), text) for test, text in program.result.failures], sys.argv)
    sys.exit(not program.result.wasSuccessful())
