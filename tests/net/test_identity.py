"""Certificates and keys in every form that they come in, and everything that can be wrong with them."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mmids_trio.net import identity as subject
from mmids_trio.net.certificates import CertificateError
from mmids_trio.net.identity import Identity, read_identity, server_context
from tests.support.certificates import BEGIN, END, Made, make

SECRET = "s3cret ü"
OTHER_SECRET = "wr0ng"


@pytest.fixture(scope="module")
def made() -> Made:
    return make()


@pytest.fixture(scope="module")
def other() -> Made:
    return make()


def assert_is(identity: Identity, made: Made) -> None:
    assert identity.certificate == made.certificate
    assert identity.key.public_key() == made.key.public_key()
    assert server_context(identity).cert_store_stats() is not None


def test_pkcs12_with_a_password(made: Made) -> None:
    identity = read_identity(made.pkcs12(SECRET), password=SECRET)
    assert_is(identity, made)
    assert identity.chain == (made.authority,)


@pytest.mark.parametrize("password", [None, ""])
def test_pkcs12_without_a_password(made: Made, password: str | None) -> None:
    assert_is(read_identity(made.pkcs12(), password=password), made)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("password", [None, SECRET])
def test_pem_with_its_key_in_the_same_file_in_any_order(made: Made, form: PrivateFormat, password: str | None) -> None:
    key = made.key_pem(password, form)
    for content in (key + made.pem(chain=True), made.pem(chain=True) + key):
        identity = read_identity(content, password=password)
        assert_is(identity, made)
        assert identity.chain == (made.authority,)


@pytest.mark.parametrize("password", [None, SECRET])
def test_pem_with_its_key_in_another_file(made: Made, password: str | None) -> None:
    assert_is(read_identity(made.pem(), made.key_pem(password), password), made)


def test_a_password_that_is_not_needed_does_not_matter(made: Made) -> None:
    assert_is(read_identity(made.pem(), made.key_pem(), SECRET), made)


def test_the_certificate_is_found_where_its_authority_comes_first(made: Made) -> None:
    backwards = made.authority.public_bytes(Encoding.PEM) + made.pem()
    assert_is(read_identity(backwards, made.key_pem()), made)


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_other_kinds_of_keys_that_tls_uses(kind: str) -> None:
    made = make(key=rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP384R1()))
    assert_is(read_identity(made.pkcs12(SECRET), password=SECRET), made)


def problem(content: bytes, key: bytes | None = None, password: str | None = None) -> str:
    with pytest.raises(CertificateError) as caught:
        read_identity(content, key, password)
    message = str(caught.value)
    assert SECRET not in message
    assert OTHER_SECRET not in message
    return message


def test_a_wrong_password_is_named_without_being_said(made: Made) -> None:
    encrypted = made.key_pem(SECRET)
    assert problem(made.pkcs12(SECRET), None, OTHER_SECRET) == "its password is wrong (tls_cert_password)"
    assert problem(made.pem(), encrypted, OTHER_SECRET) == (
        "the private key of tls_key_path has another password (tls_cert_password)"
    )
    assert problem(made.pem() + encrypted, None, OTHER_SECRET).startswith("its private key has another password")


def test_a_wrong_password_is_named_also_where_it_decrypts_to_something(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(content: bytes, password: bytes | None) -> object:
        if password is None:
            return load_pem_private_key(content, None)
        raise ValueError("Could not deserialize key data")  # as one of 256 wrong ones has it

    monkeypatch.setattr(subject, "load_pem_private_key", load)
    assert "has another password" in problem(made.pem(), made.key_pem(SECRET), OTHER_SECRET)
    assert "cannot be read" in problem(made.pem(), b"hello", OTHER_SECRET)


def test_a_missing_password_is_asked_for(made: Made) -> None:
    assert problem(made.pkcs12(SECRET)) == "it needs a password (tls_cert_password)"
    assert problem(made.pem() + made.key_pem(SECRET)) == "its private key needs a password (tls_cert_password)"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x30", b"\x30\x82\x01", bytes(1000)])
def test_what_is_no_certificate_is_said_to_be_none(content: bytes) -> None:
    assert "expected PKCS#12 or PEM" in problem(content)


def test_a_damaged_file_is_said_to_be_damaged(made: Made) -> None:
    assert "damaged" in problem(made.pkcs12(SECRET)[:300], None, SECRET)
    assert "holds no certificate" in problem(made.pem()[:200] + b"\n-----END CERTIFICATE-----\n", made.key_pem())
    assert "cannot be read" in problem(made.pem(), made.key_pem()[:60])
    assert "cannot be read" in problem(made.pem(), b"hello")


def test_a_certificate_without_its_key_is_not_enough(made: Made) -> None:
    assert problem(made.pem(chain=True)) == "it holds no private key: set tls_key_path, or name its key behind it"
    assert "without a key" in problem(made.certificate.public_bytes(Encoding.DER))


def test_a_key_without_a_certificate_is_not_enough(made: Made) -> None:
    assert "holds no certificate" in problem(made.key_pem())


def test_a_key_of_another_certificate_does_not_match(made: Made, other: Made) -> None:
    assert "does not match" in problem(made.pem(), other.key_pem())


def test_pkcs12_and_a_key_file_are_one_too_many(made: Made) -> None:
    assert problem(made.pkcs12(), made.key_pem()) == "it is PKCS#12, which holds its key itself: leave out tls_key_path"


def test_keys_that_tls_does_not_use_are_refused(made: Made) -> None:
    key = dsa.generate_private_key(1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "expected RSA, EC or Ed25519" in problem(made.pem(), key)
    unfit = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "does not match" in problem(made.pem(), unfit)


def test_validity_is_a_question_of_time(made: Made) -> None:
    identity = read_identity(made.pkcs12())
    assert identity.expires == END
    identity.check_validity(BEGIN)
    identity.check_validity(END)
    with pytest.raises(CertificateError, match="it expired on 2100-01-01 00:00 UTC"):
        identity.check_validity(END + timedelta(seconds=1))
    with pytest.raises(CertificateError, match="it is not valid before 2020-01-01 00:00 UTC"):
        identity.check_validity(datetime(2019, 12, 31, tzinfo=UTC))


def test_the_key_is_never_shown(made: Made) -> None:
    identity = read_identity(made.pkcs12())
    assert "Key" not in repr(identity).replace("x509.", "")
    assert b"ENCRYPTED PRIVATE KEY" in identity.pem(b"password")


def test_old_versions_of_tls_and_renegotiation_are_off(made: Made) -> None:
    context = server_context(read_identity(made.pkcs12()))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert all(cipher["aead"] and cipher["kea"] in ("kx-ecdhe", "kx-any") for cipher in context.get_ciphers())


def test_a_key_too_weak_for_tls_is_refused_by_openssl() -> None:
    made = make(key=rsa.generate_private_key(65537, 1024))
    with pytest.raises(CertificateError, match="OpenSSL refuses it"):
        server_context(Identity(made.key, made.certificate))
