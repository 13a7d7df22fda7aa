"""JSON Web Tokens: who is let in, and every trick by which a token could choose its own key or algorithm."""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.guards.claims import (
    LEEWAY_SECONDS,
    MAX_KEYS,
    MAX_TOKEN,
    PUBLIC,
    SHARED,
    BadToken,
    Wish,
    check,
    read_head,
    read_keys,
)

NOW = 1_800_000_000.0
SECRET = "0123456789abcdef0123456789abcdef" * 2
GOOD: Mapping[str, Any] = {"action": "publish", "key": "cam-*", "exp": NOW + 60}
WISH = Wish("publish", "live", "cam-1")

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def signed(claims: Mapping[str, Any] = GOOD, key: Any = SECRET, algorithm: str = "HS256", **head: Any) -> str:
    return jwt.encode(dict(claims), key, algorithm=algorithm, headers=head)


def public(private: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    return {**made, "kid": algorithm, "alg": algorithm, **more}


KEYS = read_keys({"keys": [public(RSA, "RS256"), public(EC, "ES256"), public(ED, "EdDSA")]})


def text(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(head: Mapping[str, Any], signature: bytes = b"", claims: Mapping[str, Any] = GOOD) -> str:
    return f"{text(head)}.{text(claims)}.{text(signature)}"


@pytest.mark.parametrize("algorithm", SHARED)
def test_a_token_that_is_signed_with_the_shared_secret_is_good(algorithm: str) -> None:
    check(signed(algorithm=algorithm), SECRET, WISH, NOW)


@pytest.mark.parametrize(("private", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_a_token_that_is_signed_with_a_public_key_is_good(private: Any, algorithm: str) -> None:
    token = signed(key=private, algorithm=algorithm, kid=algorithm)
    assert read_head(token).key_id == algorithm
    check(token, KEYS[algorithm], WISH, NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {**GOOD, "action": ["watch", "publish"]},
        {**GOOD, "key": ["other", "cam-1"]},
        {**GOOD, "key": "*"},
        {**GOOD, "app": "li*"},
        {**GOOD, "aud": "somebody", "iss": "somebody", "sub": "anna", "iat": NOW + 1_000},
        {**GOOD, "exp": NOW - LEEWAY_SECONDS + 1},
    ],
)
def test_claims_that_let_in(claims: Mapping[str, Any]) -> None:
    check(signed(claims), SECRET, WISH, NOW)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({**GOOD, "action": "watch"}, "not for action"),
        ({**GOOD, "action": "*"}, "not for action"),
        ({**GOOD, "action": None}, "not for action"),
        ({"key": "*", "exp": NOW + 60}, "not for action"),
        ({**GOOD, "key": "cam"}, "stream key"),
        ({**GOOD, "key": ["x", 1]}, "stream key"),
        ({"action": "publish", "exp": NOW + 60}, "stream key"),
        ({**GOOD, "app": "other"}, "application"),
        ({**GOOD, "app": None}, "application"),
        ({**GOOD, "exp": NOW - LEEWAY_SECONDS}, "expired"),
        ({**GOOD, "nbf": NOW + LEEWAY_SECONDS + 1}, "not good yet"),
        ({"action": "publish", "key": "*"}, "until when"),
        ({**GOOD, "exp": "9999999999"}, "until when"),
        ({**GOOD, "exp": True}, "until when"),
    ],
)
def test_claims_that_do_not(claims: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(BadToken, match=reason):
        check(signed(claims), SECRET, WISH, NOW)


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS1", None, 1])
def test_none_is_no_algorithm(name: Any) -> None:
    token = forged({"alg": name, "typ": "JWT"})
    with pytest.raises(BadToken):
        read_head(token)
    for key in (SECRET, KEYS["RS256"]):
        with pytest.raises(BadToken, match="signature is wrong"):
            check(token, key, WISH, NOW)


def test_a_public_key_is_never_taken_for_a_shared_secret() -> None:
    """The classic: sign with HS256 and the text of the public key, which everybody has."""
    head = {"alg": "HS256", "kid": "RS256"}
    unsigned = f"{text(head)}.{text(GOOD)}".encode()
    for form in (Encoding.PEM, Encoding.DER):
        known = RSA.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
        token = forged(head, hmac.digest(known, unsigned, "sha256"))
        with pytest.raises(BadToken, match="signature is wrong"):
            check(token, KEYS["RS256"], WISH, NOW)


@pytest.mark.parametrize("algorithm", sorted(set(PUBLIC) - {"RS256"}))
def test_a_public_key_is_good_for_its_own_algorithm_alone(algorithm: str) -> None:
    token = forged({"alg": algorithm, "kid": "RS256"}, b"x" * 256)
    with pytest.raises(BadToken, match="signature is wrong"):
        check(token, KEYS["RS256"], WISH, NOW)


def test_a_secret_is_good_for_algorithms_of_its_length_alone() -> None:
    short = SECRET[:32]
    check(signed(key=short), short, WISH, NOW)
    unsigned = f"{text({'alg': 'HS512'})}.{text(GOOD)}".encode()
    token = forged({"alg": "HS512"}, hmac.digest(short.encode(), unsigned, "sha512"))
    with pytest.raises(BadToken, match="signature is wrong"):
        check(token, short, WISH, NOW)


def test_keys_that_a_token_brings_itself_count_for_nothing() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    brought: dict[str, Any] = {
        "jwk": public(other, "RS256"),
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/",
    }
    token = signed(key=other, algorithm="RS256", kid="RS256", **brought)
    with pytest.raises(BadToken, match="signature is wrong"):
        check(token, KEYS["RS256"], WISH, NOW)


def test_of_a_key_set_shared_secrets_private_and_strange_keys_are_passed_over() -> None:
    strange: list[Any] = [
        {"kty": "oct", "k": text(b"secret"), "kid": "oct", "alg": "HS256"},
        {**jwt.get_algorithm_by_name("RS256").to_jwk(RSA, as_dict=True), "kid": "private"},
        public(RSA, "RS256", use="enc", kid="enc"),
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "bad"},
        {"kty": "EC", "crv": "P-0", "kid": "curve"},
        "text",
        None,
    ]
    assert set(read_keys({"keys": [*strange, public(EC, "ES256")]})) == {"ES256"}


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": [{}] * (MAX_KEYS + 1)}])
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="expected a JSON Web Key Set"):
        read_keys(document)


@given(st.text(max_size=60) | st.text("abc.ey=-_{}", max_size=60))
def test_garbage_lets_nobody_in(token: str) -> None:
    with pytest.raises(BadToken):
        read_head(token)
    with pytest.raises(BadToken):
        check(token, SECRET, WISH, NOW)


@pytest.mark.parametrize("token", ["", "x" * (MAX_TOKEN + 1), f"{text(b'[' * 4000)}.{text({})}.{text(b'')}"])
def test_what_is_no_token_is_refused_by_its_look(token: str) -> None:
    with pytest.raises(BadToken):
        read_head(token)


def test_a_changed_token_is_worth_nothing() -> None:
    head, claims, signature = signed().split(".")
    more = text({**GOOD, "key": "*"})
    for token in (f"{head}.{more}.{signature}", f"{head}.{claims}.", f"{head}.{claims}.{signature[:-4]}AAAA"):
        with pytest.raises(BadToken):
            check(token, SECRET, WISH, NOW)
