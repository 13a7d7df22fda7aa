"""Adobe's authentication of encoders: each refusal and what is sent next."""

from base64 import b64encode
from hashlib import md5

from mmids_trio.rtmp.client.client import authentication_answer

ASKS_WHO = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
ASKS_PASSWORD = (
    "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=me&salt=c2FsdA==&challenge=Y2hhbA==&opaque="
)
WRONG = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=b3A="


def fixed(count: int) -> bytes:
    return bytes(range(count))


def digest(text: str) -> str:
    return b64encode(md5(text.encode(), usedforsecurity=False).digest()).decode()


def test_first_it_says_who_it_is() -> None:
    assert authentication_answer(ASKS_WHO, "m e", "pw", fixed) == "?authmod=adobe&user=m%20e"


def test_then_it_proves_that_it_knows_the_password_without_sending_it() -> None:
    proof = digest(digest("mec2FsdA==pw") + "Y2hhbA==" + "00010203")
    expected = f"?authmod=adobe&user=me&challenge=00010203&response={proof}"
    assert authentication_answer(ASKS_PASSWORD, "me", "pw", fixed) == expected


def test_what_the_server_wants_back_takes_the_place_of_its_challenge() -> None:
    proof = digest(digest("mec2FsdA==pw") + "b3A=" + "00010203")
    expected = f"?authmod=adobe&user=me&challenge=00010203&response={proof}&opaque=b3A="
    assert authentication_answer(ASKS_PASSWORD + "b3A=", "me", "pw", fixed) == expected


def test_there_is_no_further_try_where_it_is_of_no_use() -> None:
    assert authentication_answer(WRONG, "me", "pw", fixed) is None
    assert authentication_answer(ASKS_WHO, "", "", fixed) is None
    assert authentication_answer("Application not found", "me", "pw", fixed) is None
