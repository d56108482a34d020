"""run.py FILE [NAME]...: runs the tests of a file, or those whose name has a NAME in it: a line each, then counts."""

import faulthandler
import os
import sys
import threading
import unittest

LIMIT = 120  # seconds for one test; a test that waits longer waits for ever


def sentence(test):
    method = test.id().rsplit(".", 1)[-1]
    topic = type(test).__doc__ or type(test).__name__
    return f"{topic}: {method.removeprefix('test_').replace('_', ' ')}"


class Lines(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.passed = 0
        self.failing = set()  # a test may fail several times: in its parts, and when it cleans up

    def startTest(self, test):
        super().startTest(test)
        self.before = set(threading.enumerate())
        faulthandler.dump_traceback_later(LIMIT, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)

    def addSuccess(self, test):
        left = [t for t in set(threading.enumerate()) - self.before if t.is_alive()]
        if left:
            self.failed(test, f"it left threads behind: {left}")
            return
        self.passed += 1
        print(f"ok    {sentence(test)}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skip  {sentence(test)}: {reason}", flush=True)

    def failed(self, test, text):
        self.failing.add(test.id())
        print(f"FAIL  {sentence(test)}", flush=True)
        for line in text.splitlines()[-40:]:
            print(f"      {line}", flush=True)

    def addFailure(self, test, error):
        self.failed(test, self._exc_info_to_string(error, test))

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.failed(test, f"with {subtest._subDescription()}\n" + self._exc_info_to_string(error, test))


def cases(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases(test)
        else:
            yield test


def main(file, *names):
    folder, name = os.path.split(file)
    sys.path.insert(0, folder)
    loaded = unittest.defaultTestLoader.loadTestsFromName(name.removesuffix(".py"))
    chosen = [t for t in cases(loaded) if not names or any(n in t.id() for n in names)]
    result = Lines()
    unittest.TestSuite(chosen).run(result)
    print(f"{result.passed} passed, {len(result.failing)} failed, {len(result.skipped)} skipped", flush=True)
    # Threads of a failed test may still be waiting: the counts are out, so nothing waits for them.
    os._exit(bool(result.failing) or not chosen)


if __name__ == "__main__":
    faulthandler.enable()
    main(*sys.argv[1:])
