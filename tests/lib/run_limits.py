"""A pytest plugin that tests/run.py loads: a test that takes longer than $TREFOIL_TEST_SECONDS fails, with all stacks shown."""
import faulthandler
import os
import signal
import sys

import pytest

SECONDS = int(os.environ.get("TREFOIL_TEST_SECONDS", "120"))


class TookTooLong(BaseException):
    """No `except Exception` in a test or a library swallows this."""


def _on_alarm(_signal, _frame):
    faulthandler.dump_traceback(sys.__stderr__)
    raise TookTooLong(f"not done after {SECONDS} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    before = signal.signal(signal.SIGALRM, _on_alarm)
    signal.alarm(SECONDS)
    try:
        return (yield)
    except TookTooLong as e:
        pytest.fail(str(e))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
