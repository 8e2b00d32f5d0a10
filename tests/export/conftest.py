"""The command run in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import Done

from tremorscope import cli


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command in this process, which has imported PyTorch already; what is no fault comes out as it is."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["tremorscope", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            status: object = 0
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    return run
