"""Texts on a tape: what grants access has a pseudonym, of the same length, and everything else stays as it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.capture import records
from mmids_trio.capture.masking import KEEP, Masking, TextMasker
from mmids_trio.capture.pseudonyms import MAX_PSEUDONYM, Pseudonyms
from mmids_trio.config.parser import parse
from mmids_trio.config.references import given_in_the_text
from mmids_trio.reactors.executor import ExecutorRegistry
from mmids_trio.reactors.simple_http import SIMPLE_HTTP

NAMES = Pseudonyms(b"of a test")
MASKING = Masking(b"of a test")
TEXT = TextMasker(NAMES)

CONFIGURATION = """# the password is hunter2
settings {
    http_api_token t0kenOfTheApi
    tls_cert_password "my \\"pass\\" word"
    log_path /var/log
    publisher_timeout 10
}
reactor lookup executor=simple_http update_interval=5 {
    url http://user:passphrase@10.0.0.1/ask?apikey=abcdef
}
workflow live {
    rtmp_receive rtmp_app=live stream_key=camera7 allow_ips=10.0.0.0/8 reactor=lookup
    rtmp_watch rtmp_app=live stream_key="camera 7"
    rtmp_watch rtmp_app=any stream_key=*
    ffmpeg_push target=rtmp://other.example/app/pushkey
    ffmpeg_pull location="https://x.example/a/b.m3u8?sig=SIGNATURE"
}
"""
SECRETS = (
    "hunter2",
    "t0kenOfTheApi",
    "pass",
    "abcdef",
    "camera7",
    "camera 7",
    "pushkey",
    "SIGNATURE",
)


def test_a_configuration_keeps_everything_but_its_secrets() -> None:
    masked = TEXT.configuration(CONFIGURATION)
    for secret in SECRETS:
        assert secret in CONFIGURATION
        assert re.search(rf"(?<!_){re.escape(secret)}(?!w)", masked) is None
    for kept in ("rtmp_app=live", "stream_key=*", "allow_ips=10.0.0.0/8", "10.0.0.1/ask", "other.example/app/"):
        assert kept in masked


def test_a_masked_configuration_means_the_same_but_for_its_secrets() -> None:
    before, after = parse(CONFIGURATION, "x"), parse(TEXT.configuration(CONFIGURATION), "x")
    assert after.problems == ()
    assert after.settings.publisher_timeout == 10
    assert after.settings.http_api_token == NAMES.of("t0kenOfTheApi")
    assert after.settings.tls_cert_password == NAMES.of('my "pass" word')
    steps = [step.parameters for step in after.workflows[0].steps]
    assert steps[0]["stream_key"] == NAMES.of("camera7")
    assert steps[1]["stream_key"] == NAMES.of("camera 7")
    assert [step.step_type for step in before.workflows[0].steps] == [s.step_type for s in after.workflows[0].steps]


def test_the_header_of_a_reactor_is_masked_and_still_one() -> None:
    text = 'reactor r executor=simple_http {\n    url http://h/\n    header "Authorization: Bearer hunter2"\n}\n'
    kinds = ExecutorRegistry([SIMPLE_HTTP])
    masked = TextMasker(NAMES, kinds.secrets).configuration(text)
    assert "hunter2" not in masked
    assert kinds.problems(parse(masked, "x").reactors[0]) == []


@given(st.text(max_size=300))
def test_any_text_keeps_its_lines_and_is_masked_without_a_crash(text: str) -> None:
    assert TEXT.configuration(text).count("\n") == text.count("\n")
    TEXT.json(text)
    TEXT.target(text)
    TEXT.urls(text)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
def test_a_pseudonym_has_the_length_of_what_it_stands_for(text: str) -> None:
    pseudonym = NAMES.of(text)
    assert len(pseudonym.encode()) == len(text.encode())
    assert NAMES.of(text) == pseudonym


@given(st.text("abc7", min_size=1, max_size=20), st.text("abc7", min_size=1, max_size=20))
def test_different_texts_have_different_pseudonyms(one: str, other: str) -> None:
    assert (NAMES.of(one) == NAMES.of(other)) == (one == other)


@given(st.binary(max_size=60), st.integers(1, 7))
def test_a_pseudonym_may_be_made_piece_by_piece(text: bytes, size: int) -> None:
    pseudonym = NAMES.begin()
    pieces = (text[place : place + size] for place in range(0, len(text), size))
    assert b"".join(map(pseudonym.feed, pieces)) == NAMES.begin().feed(text)


def test_what_goes_beyond_the_longest_pseudonym_is_crossed_out() -> None:
    assert NAMES.of("k" * (MAX_PSEUDONYM + 5)).endswith("xxxxx")


def test_another_capture_has_other_pseudonyms() -> None:
    assert Pseudonyms(b"another").of("camera7camera7") != NAMES.of("camera7camera7")


def request(body: str, *headers: str, target: str = "/workflows?wait=5&token=abc") -> records.Requested:
    return records.Requested(0, 1, "PUT", target, "\n".join(headers), body.encode())


def masked(asked: records.Requested) -> records.Requested:
    found = MASKING.of_record(asked)
    assert isinstance(found, records.Requested)
    return found


def test_a_request_keeps_no_credentials_in_head_query_and_body() -> None:
    found = masked(request("workflow w {\n rtmp_watch stream_key=camera7\n}", "authorization: Bearer t0ken", "host: h"))
    assert found.headers == f"authorization: Bearer {NAMES.of('t0ken')}\nhost: h"
    assert found.target == f"/workflows?wait=5&token={NAMES.of('abc')}"
    assert b"camera7" not in found.body


def test_the_token_of_a_request_is_still_that_of_the_configuration() -> None:
    found = masked(request("", "authorization: Bearer t0kenOfTheApi"))
    token = parse(TEXT.configuration(CONFIGURATION), "x").settings.http_api_token
    assert found.headers == f"authorization: Bearer {token}"


def test_a_body_of_json_is_masked_as_json() -> None:
    body = '{"password": "hunter2", "name": "x", "text": "workflow w {\\n rtmp_watch stream_key=\\"camera7\\"\\n}"}'
    found = masked(request(body, "content-type: application/json"))
    assert b"hunter2" not in found.body
    assert b"camera7" not in found.body
    assert b'"name": "x"' in found.body


def test_questions_and_answers_of_reactors_are_masked_alike() -> None:
    asked = MASKING.of_record(records.Asked(0, 1, "lookup", "camera7"))
    told = MASKING.of_record(records.Told(0, 1, records.VALID, b"workflow w {\n rtmp_watch stream_key=camera7\n}\n"))
    assert asked == records.Asked(0, 1, "lookup", NAMES.of("camera7"))
    assert isinstance(told, records.Told)
    assert f"stream_key={NAMES.of('camera7')}".encode() in told.text


def test_bodies_that_are_no_text_keep_their_bytes() -> None:
    asked = records.Requested(0, 1, "PUT", "/", "", b"\xff\xfe\x00 x")
    assert MASKING.of_record(asked) == asked


@pytest.mark.parametrize("record", [request("token abc", "authorization: Bearer x"), records.Asked(0, 1, "r", "s")])
def test_with_secrets_kept_nothing_is_masked(record: records.Record) -> None:
    assert Masking(b"x", secrets=KEEP).of_record(record) is record


def test_a_parameter_that_is_declared_as_secret_is_masked_whatever_its_name() -> None:
    declared = TextMasker(NAMES, frozenset({"pin"}))
    text = 'reactor r executor=x {\n    pin 1234x\n}\nworkflow w {\n    lock pin="1234x" spin=1234x pins=1234x\n}\n'
    pin = NAMES.of("1234x")
    masked = (
        f'reactor r executor=x {{\n    pin {pin}\n}}\nworkflow w {{\n    lock pin="{pin}" spin=1234x pins=1234x\n}}\n'
    )
    assert declared.configuration(text) == masked
    assert declared.json('{"pin": "1234x", "pins": "1234x"}') == f'{{"pin": "{pin}", "pins": "1234x"}}'
    assert declared.json('{"text": "lock pin=1234x spin=1234x"}') == f'{{"text": "lock pin={pin} spin=1234x"}}'
    assert declared.target("/x?pin=1234x&pins=1234x") == f"/x?pin={pin}&pins=1234x"
    assert TEXT.configuration(text) == text


def test_variables_stay_and_what_they_stand_for_does_not() -> None:
    text = (
        'values {\n    KEY "theKey"\n    PORT "1935"\n}\n'
        "reactor r executor=simple_http {\n"
        '    url http://host/${KEY}\n    header "Authorization: Bearer ${KEY}"\n}\n'
        "workflow w {\n    rtmp_receive rtmp_app=a stream_key=${KEY} publish_token=x${KEY:-default} port=${PORT}\n"
        "    rtmp_push target=rtmp://host/app/${KEY}\n}\n"
    )
    masked = TEXT.configuration(text)
    assert "theKey" not in masked
    assert "default" not in masked
    document = parse(masked, "x", given_in_the_text())
    assert document.problems == ()
    receive, push = document.workflows[0].steps
    assert receive.parameters["stream_key"] == NAMES.of("theKey")
    assert receive.parameters["port"] == "1935"
    assert push.parameters["target"] == f"rtmp://host/app/{NAMES.of('theKey')}"
    assert str(document.reactors[0].parameters["header"]).endswith(NAMES.of("theKey"))
