"""Who gets in: tokens, sessions, names of the host, foreign pages."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.secrets import read_secret
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.outputs.web.access import Access, AccessLevel, Tokens, check_exposure, read_tokens

TOKENS = Tokens(view="view-0123456789abcdef", control="control-0123456789abcdef")
LOCAL = HttpSettings()


def access(tokens: Tokens = TOKENS, now_s: float = 1e9, **settings: object) -> Access:
    return Access(HttpSettings.model_validate(settings), tokens, lambda: now_s)


@pytest.mark.parametrize(
    ("header", "level"),
    [
        ("Bearer view-0123456789abcdef", AccessLevel.VIEW),
        ("bearer  control-0123456789abcdef", AccessLevel.CONTROL),
        ("Bearer view-0123456789abcdee", AccessLevel.NONE),
        ("Bearer ", AccessLevel.NONE),
        ("Basic dmlldy0wMTIzNDU2Nzg5YWJjZGVm", AccessLevel.NONE),
        (None, AccessLevel.NONE),
    ],
)
def test_a_token_grants_its_level(header: str | None, level: AccessLevel) -> None:
    assert access().level_of(authorization=header, cookie=None) is level


def test_a_session_lasts_a_month_and_ends_with_the_token() -> None:
    cookie = access().open_session(AccessLevel.CONTROL)
    assert access().level_of(authorization=None, cookie=cookie) is AccessLevel.CONTROL
    assert access(now_s=1e9 + 29 * 86400).level_of(authorization=None, cookie=cookie) is AccessLevel.CONTROL
    assert access(now_s=1e9 + 31 * 86400).level_of(authorization=None, cookie=cookie) is AccessLevel.NONE
    changed = Tokens(view=TOKENS.view, control="another-0123456789abcdef")
    assert access(changed).level_of(authorization=None, cookie=cookie) is AccessLevel.NONE


@given(st.text(max_size=80))
def test_no_made_up_session_is_let_in(cookie: str) -> None:
    assert access().level_of(authorization=None, cookie=cookie) is AccessLevel.NONE


def test_a_session_cannot_be_raised_or_forged() -> None:
    view = access().open_session(AccessLevel.VIEW)
    assert access().level_of(authorization=None, cookie="2" + view[1:]) is AccessLevel.NONE
    # Without a control token nobody can sign for control, not even with an empty key.
    only_view = access(Tokens(view=TOKENS.view))
    for key in (b"", hashlib.sha256(b"tremorscope session ").digest()):
        text = "2.1999999999"
        signature = (
            base64.urlsafe_b64encode(hmac.new(key, text.encode(), "sha256").digest()).decode().rstrip("=")
        )
        for forged in (f"{text}.{signature}", f"{text}."):
            assert only_view.level_of(authorization=None, cookie=forged) is AccessLevel.NONE


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("device.example", True),  # named in allowed_hosts
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example/localhost", False),
        ("[", False),
        ("", False),
        ("192.168.1.5:8080", False),
    ],
)
def test_without_a_token_only_names_of_the_device_are_answered(host: str, is_ours: bool) -> None:
    judge = access(Tokens(), allowed_hosts=["device.example"])
    assert (judge.refuses("GET", {"Host": host}) == "") is is_ours
    assert access(TOKENS).refuses("GET", {"Host": host}) == ""  # a token says more than a name


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({}, True),
        ({"Origin": "http://localhost:8080"}, True),
        ({"Origin": "https://localhost:8080", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://localhost:9090"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_only_our_own_page_changes_anything(headers: dict[str, str], is_allowed: bool) -> None:
    for tokens in (TOKENS, Tokens()):
        judge = access(tokens)
        assert (judge.refuses("POST", {"Host": "localhost:8080"} | headers) == "") is is_allowed
        assert judge.refuses("GET", {"Host": "localhost:8080"} | headers) == ""


def test_the_network_is_served_only_with_a_token() -> None:
    check_exposure(LOCAL, Tokens())
    check_exposure(HttpSettings(host="::1"), Tokens())
    for host in ("0.0.0.0", "::", "192.168.1.5", "device.example"):
        check_exposure(HttpSettings(host=host), Tokens(view="x" * 16))
        with pytest.raises(OptionFault, match="TREMORSCOPE_WEB_TOKEN"):
            check_exposure(HttpSettings(host=host), Tokens())


def test_tokens_come_from_credentials_before_the_environment(tmp_path: object) -> None:
    from pathlib import Path

    directory = Path(str(tmp_path))
    (directory / "web-token").write_text("from-the-credential-file\n")
    environment = {
        "CREDENTIALS_DIRECTORY": str(directory),
        "TREMORSCOPE_WEB_TOKEN": "from-the-environment-0123",
        "TREMORSCOPE_CONTROL_TOKEN": "control-from-environment",
    }
    tokens = read_tokens(environment)
    assert (tokens.view, tokens.control) == ("from-the-credential-file", "control-from-environment")
    assert "credential" not in repr(tokens)
    with pytest.raises(OptionFault, match="5 characters are too short for a secret"):
        read_tokens({"TREMORSCOPE_WEB_TOKEN": "short"})
    (directory / "web-token").write_bytes(b"")
    with pytest.raises(OptionFault, match="empty"):
        read_secret("web-token", environment)
