"""Runs the test files beside this one, or those named, and ends with a plain line of how many passed and failed
and of what else was counted."""

import sys
import unittest
import warnings
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import suite  # noqa: E402


class Counting(unittest.TextTestResult):
    """Counts what passed, which unittest itself does not."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main(names):
    warnings.simplefilter("default")
    loader = unittest.TestLoader()
    tests = loader.loadTestsFromNames(names) if names else loader.discover(str(FOLDER), top_level_dir=str(FOLDER))
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Counting, stream=sys.stdout)
    try:
        result = runner.run(tests)
        log = suite.said() if not result.wasSuccessful() else ""
    finally:
        suite.close()
    if log:
        print("What the daemon said last:\n" + log)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    if result.testsRun == 0:
        failed = 1
    print("; ".join([f"{result.passed} passed, {failed} failed", *suite.counted]))
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
