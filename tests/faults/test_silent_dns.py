"""A name server that answers nothing: Valkey is away, and says so once."""

import subprocess

import pytest

from tests.faults import network_namespace
from tests.integration.process import PROGRAM_DEADLINE


def test_a_look_up_of_valkeys_name_that_takes_too_long_leaves_no_error_behind() -> None:
    try:
        command = network_namespace.inside("tests.faults.silent_dns")
    except network_namespace.NotAllowedError as error:
        pytest.fail(str(error), pytrace=False)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_DEADLINE)
    assert ran.returncode == 0, ran.stderr
    assert "no answer in time" in ran.stdout
    assert "never retrieved" not in ran.stdout
    assert ran.stdout.count("Valkey is away") <= 1
