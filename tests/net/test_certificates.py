"""The certificate of a server: loaded when needed, looked at again now and then, and never lost once it is there."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.net.certificates import (
    CHECK_SECONDS,
    DAY,
    MAX_FILE_BYTES,
    CertificateError,
    CertificateFiles,
    Certificates,
)
from tests.support.certificates import END, at_once, make

NOW = datetime(2026, 6, 1, tzinfo=UTC)
T = TypeVar("T")


def certificates(files: CertificateFiles | None, now: Callable[[], datetime] = lambda: NOW) -> Certificates:
    return Certificates(files, now=now, offload=at_once)


async def problem(files: CertificateFiles | None, now: datetime = NOW) -> str:
    with pytest.raises(CertificateError) as caught:
        await certificates(files, lambda: now).require()
    return str(caught.value)


def events(logs: list[EventDict], level: str) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] == level]


async def test_a_certificate_is_loaded_in_a_thread_and_once(tmp_path: Path) -> None:
    served = Certificates(make().write(tmp_path / "server.pem"))
    with trio.fail_after(10):
        await served.require()
        first = await served.context()
        await served.require()
    assert await served.context() is first
    assert served.expires == END


async def test_pkcs12_and_a_key_of_its_own_are_read_from_their_files(tmp_path: Path) -> None:
    made = make()
    (tmp_path / "server.pfx").write_bytes(made.pkcs12("word"))
    await certificates(CertificateFiles(tmp_path / "server.pfx", "word")).require()
    (tmp_path / "chain.pem").write_bytes(made.pem(chain=True))
    (tmp_path / "key.pem").write_bytes(made.key_pem("word"))
    await certificates(CertificateFiles(tmp_path / "chain.pem", "word", tmp_path / "key.pem")).require()


async def test_the_key_is_nowhere_on_disk_and_no_descriptor_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    files = make().write(tmp_path / "server.pem")
    before = os.listdir("/proc/self/fd")
    await certificates(files).require()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert os.listdir(tmp_path) == ["server.pem"]


async def test_without_the_setting_the_error_names_it() -> None:
    assert "tls_cert_path" in await problem(None)


async def test_files_that_cannot_be_read_are_errors_that_name_them(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    assert await problem(CertificateFiles(missing)) == (
        f"the certificate '{missing}' cannot be read: No such file or directory"
    )
    made = make()
    (tmp_path / "chain.pem").write_bytes(made.pem())
    assert str(missing) in await problem(CertificateFiles(tmp_path / "chain.pem", key=missing))
    assert "it is not a file" in await problem(CertificateFiles(tmp_path))
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    assert "it is not a file" in await problem(CertificateFiles(tmp_path / "pipe"))
    (tmp_path / "large").write_bytes(bytes(MAX_FILE_BYTES + 1))
    assert "more than 1048576 bytes" in await problem(CertificateFiles(tmp_path / "large"))


async def test_what_is_wrong_inside_is_said_with_the_name_of_the_file_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "server.pfx"
    path.write_bytes(make().pkcs12("right"))
    files = CertificateFiles(path, "hunter2")
    assert await problem(files) == f"the certificate '{path}' cannot be used: its password is wrong (tls_cert_password)"
    assert "hunter2" not in repr(certificates(files))


async def test_an_expired_certificate_is_an_error(tmp_path: Path) -> None:
    files = make(end=NOW - timedelta(days=1)).write(tmp_path / "server.pem")
    assert (
        await problem(files)
        == f"the certificate '{files.certificate}' cannot be used: it expired on 2026-05-31 00:00 UTC"
    )


async def test_an_expired_certificate_may_be_served_with_a_warning_each_day(
    tmp_path: Path, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    path = tmp_path / "server.pem"
    files = make(end=NOW - timedelta(days=1)).write(path)
    served = Certificates(files, now=lambda: NOW, offload=at_once, allow_expired=True)
    await served.require()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.warn_daily)
        for _ in range(2):
            await trio.sleep(CHECK_SECONDS)
            await served.context()
        await trio.sleep(2.5 * DAY)
        assert events(logs, "warning") == ["TLS certificate has expired and is served"] * 3
        make(end=END).write(path)
        await served.context()
        assert served.expires == END
        make(end=NOW - timedelta(days=2)).write(path)
        await trio.sleep(3 * DAY)
        await served.context()
        assert served.expires == END, "one that is good is not given up for one that is not"
        assert len(events(logs, "warning")) == 3
        nursery.cancel_scope.cancel()


async def test_one_that_is_not_yet_valid_is_an_error_also_where_expired_ones_may_be_served(tmp_path: Path) -> None:
    files = make().write(tmp_path / "server.pem")
    early = datetime(2000, 1, 1, tzinfo=UTC)
    with pytest.raises(CertificateError, match="not valid before"):
        await Certificates(files, now=lambda: early, offload=at_once, allow_expired=True).require()


async def test_one_that_expires_while_it_is_used_is_kept_with_a_line_in_the_log_and_starts_no_step(
    tmp_path: Path, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    days = 0
    files = make(end=NOW + timedelta(days=1)).write(tmp_path / "server.pem")
    served = certificates(files, lambda: NOW + timedelta(days=days))
    await served.require()
    context = await served.context()
    days = 2
    for _ in range(3):
        await trio.sleep(CHECK_SECONDS)
        assert await served.context() is context
    assert events(logs, "error") == ["TLS certificate is used beyond its time"]
    with pytest.raises(CertificateError, match="expired"):
        await served.require()


async def test_a_changed_file_is_taken_up_with_a_later_connection(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "server.pem"
    served = certificates(make().write(path))
    await served.require()
    old = await served.context()
    make(end=END - timedelta(days=1)).write(path)
    assert await served.context() is old  # looked at a moment ago
    await trio.sleep(CHECK_SECONDS)
    assert await served.context() is not old
    assert served.expires == END - timedelta(days=1)


async def test_a_link_that_is_turned_to_another_file_is_a_change(tmp_path: Path, autojump_clock: MockClock) -> None:
    make().write(tmp_path / "one.pem")
    make(end=END - timedelta(days=1)).write(tmp_path / "two.pem")
    live = tmp_path / "live.pem"
    live.symlink_to("one.pem")
    served = certificates(CertificateFiles(live))
    await served.require()
    live.unlink()
    live.symlink_to("two.pem")
    await trio.sleep(CHECK_SECONDS)
    await served.context()
    assert served.expires == END - timedelta(days=1)


async def test_a_reload_does_not_wait(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "server.pem"
    served = certificates(make().write(path))
    await served.reload()  # nobody uses it
    assert served.expires is None
    await served.require()
    old = await served.context()
    make().write(path)
    await served.reload()
    assert await served.context() is not old


EXPIRED = make(end=NOW - timedelta(days=1))


@pytest.mark.parametrize(
    "broken",
    [b"", b"hello", None, EXPIRED.key_pem() + EXPIRED.pem(), EXPIRED.pem()],
    ids=["empty", "nonsense", "gone", "expired", "without its key"],
)
async def test_a_broken_new_file_leaves_the_old_certificate_and_one_line_in_the_log(
    broken: bytes | None, tmp_path: Path, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    path = tmp_path / "server.pem"
    served = certificates(make().write(path))
    await served.require()
    old = await served.context()
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    for _ in range(3):
        await trio.sleep(CHECK_SECONDS)
        assert await served.context() is old
    await served.require()  # and steps may still start
    assert events(logs, "error") == ["TLS certificate cannot be renewed, the old one stays in use"]
    make().write(path)
    await trio.sleep(CHECK_SECONDS)
    assert await served.context() is not old


async def test_a_new_key_without_its_new_certificate_is_tried_again_when_that_comes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    def write(name: str, content: bytes) -> None:
        (tmp_path / "fresh").write_bytes(content)
        (tmp_path / "fresh").rename(tmp_path / name)

    old, new = make(), make()
    write("chain.pem", old.pem())
    write("key.pem", old.key_pem())
    served = certificates(CertificateFiles(tmp_path / "chain.pem", key=tmp_path / "key.pem"))
    await served.require()
    context = await served.context()
    write("key.pem", new.key_pem())
    await trio.sleep(CHECK_SECONDS)
    assert await served.context() is context
    write("chain.pem", new.pem())
    await trio.sleep(CHECK_SECONDS)
    assert await served.context() is not context


async def test_many_connections_at_once_load_a_new_certificate_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    loads = 0

    async def slowly(load: Callable[[], T]) -> T:
        nonlocal loads
        loads += 1
        await trio.sleep(1)
        return load()

    path = tmp_path / "server.pem"
    served = Certificates(make().write(path), now=lambda: NOW, offload=slowly)
    await served.require()
    make().write(path)
    await trio.sleep(CHECK_SECONDS)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(served.context)
    assert loads == 2


async def test_a_load_that_is_cancelled_is_made_up_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    async def never(load: Callable[[], T]) -> T:
        await trio.sleep_forever()
        return load()

    path = tmp_path / "server.pem"
    served = certificates(make().write(path))
    await served.require()
    old = await served.context()
    make().write(path)
    await trio.sleep(CHECK_SECONDS)
    served.offload = never
    with trio.move_on_after(1) as scope:
        await served.context()
    assert scope.cancelled_caught
    served.offload = at_once
    await trio.sleep(CHECK_SECONDS)
    assert await served.context() is not old
