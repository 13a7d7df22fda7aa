"""The player's page: what it says of itself, what it may load, and that its files are there, as they were published."""

import gzip
import re
from hashlib import sha256
from posixpath import join, normpath

import pytest

from mmids_trio.delivery.answers import Answer
from mmids_trio.delivery.page.assets import Assets
from mmids_trio.delivery.page.page import PlayerPage
from mmids_trio.delivery.places import Asset, Place, read_path
from mmids_trio.delivery.requests import Request

SITE = PlayerPage()
ASSETS = Assets.load()

PUBLISHED = {
    "vendor/hls.light.min.mjs": "3d82a88cf9ae0d9aaab3cbe9ff6ecbb64bb89c54a399c34ae9bf8b559baeb20f",
    "vendor/mpegts.js": "bda31748736a69cb610c2edf4623e633f1f4f47b5bda83668c8d287e51b0c3a8",
}
"""SHA-256 of the files in the packages hls.js 1.7.4 and mpegts.js 1.8.2 of the npm registry."""


def page(path: str = "/live/show", query: str = "", **headers: str) -> Answer:
    place = read_path(path)
    assert isinstance(place, Place)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return SITE.page(place, Request("GET", path, query, names), ("hls", "flv"))


def text(answer: Answer) -> str:
    return b"".join(answer.body).decode()


def asset(path: str, **headers: str) -> Answer | None:
    found = read_path(path)
    assert isinstance(found, Asset)
    return SITE.asset(found.name, Request("GET", path, "", {k.replace("_", "-"): v for k, v in headers.items()}))


def test_the_page_of_a_key_is_there_whether_or_not_anything_is_on_the_air() -> None:
    answer = page()
    assert answer.status == 200
    assert dict(answer.headers)["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>show</title>" in text(answer)


@pytest.mark.parametrize("path", ["/live/show", "/a/b/c/show", "/live/a%2Fb"])
def test_everything_that_the_page_loads_is_served_beside_it_also_below_the_path_of_a_proxy(path: str) -> None:
    loaded = re.findall(r'(?:src|href)="([^"]+)"', text(page(path)))
    assert len(loaded) == 3
    for address in loaded:
        assert not address.startswith(("/", "http"))
        answer = asset(normpath(join(path.rpartition("/")[0], address)))
        assert answer is not None
        assert answer.status == 200


def test_what_modules_import_is_served() -> None:
    modules = [name for name in ASSETS.by_name if name.endswith("js") and not name.startswith("vendor/")]
    assert {"player.js", "controls.js", "sources.js"} <= set(modules)
    imported = [
        address
        for name in modules
        for address in re.findall(r'(?:from|import\(|classic\()\s*"\./([^"]+)"', ASSETS.by_name[name].data.decode())
    ]
    assert set(imported) == {"controls.js", "sources.js", "vendor/hls.light.min.mjs", "vendor/mpegts.js"}
    assert set(imported) <= ASSETS.by_name.keys()


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    policy = dict(page().headers)["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "http" not in policy
    html = text(page())
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|\bstyle=|javascript:", html) == []
    own = [asset.data.decode() for name, asset in ASSETS.by_name.items() if not name.startswith("vendor/")]
    for content in (html, *own):
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", content) == []


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><b>', "{title}", "a&b", "ключ", "\udcff"])
def test_a_key_is_text(name: str) -> None:
    answer = SITE.page(Place("live", name, "page"), Request("GET", "/live/x"), ("hls", "flv"))
    html = text(answer)
    assert "<script>alert" not in html
    assert '"><b>' not in html
    shown = re.search("<title>(.*)</title>", html)
    assert shown is not None
    escaped = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\udcff": "?"}
    assert shown[1] == "".join(escaped.get(each, each) for each in name)


@pytest.mark.parametrize(
    ("query", "is_embedded"),
    [("", False), ("embed", True), ("token=x&embed=1", True), ("token=embed", False), ("embedded", False)],
)
def test_only_with_embed_it_may_stand_in_the_frame_of_another_page(query: str, is_embedded: bool) -> None:
    answer = page(query=query)
    policy = dict(answer.headers)["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors *" if is_embedded else "frame-ancestors 'self'")
    assert ("data-embed" in text(answer)) is is_embedded


def test_the_page_tries_what_the_step_serves() -> None:
    for formats in (("hls", "flv"), ("flv",)):
        answer = SITE.page(Place("live", "x", "page"), Request("GET", "/live/x"), formats)
        assert f'data-formats="{" ".join(formats)}"' in text(answer)


def test_no_other_server_is_told_the_address() -> None:
    assert dict(page(query="token=secret").headers)["Referrer-Policy"] == "no-referrer"
    assert "secret" not in text(page(query="token=secret"))


def test_who_has_the_page_already_is_told_so() -> None:
    tag = dict(page().headers)["ETag"]
    for sent in (tag, f'"other", W/{tag}', "*"):
        answer = page(if_none_match=sent)
        assert (answer.status, answer.body) == (304, ())
        assert dict(answer.headers)["ETag"] == tag
    assert page(if_none_match='"other"').status == 200
    assert dict(page("/live/other").headers)["ETag"] != tag


def test_files_may_be_kept_for_ever_since_their_address_changes_with_them() -> None:
    answer = asset(f"/-/{ASSETS.version}/player.js")
    assert answer is not None
    assert "immutable" in dict(answer.headers)["Cache-Control"]
    assert dict(answer.headers)["Content-Type"].startswith("text/javascript")
    changed = {**ASSETS.by_name, "player.js": type(ASSETS.by_name["player.js"])("text/javascript", b"")}
    assert Assets(changed).version != ASSETS.version


@pytest.mark.parametrize(
    "name",
    [
        "player.js",
        "000000000000/player.js",
        "{}/none.js",
        "{}/",
        "{}",
        "{}/../page.py",
        "{}//etc/passwd",
        "{}/page.html",
        "{}/vendor",
        "{}/vendor/README.md",
        "{}/player.js/",
    ],
)
def test_nothing_else_is_a_file(name: str) -> None:
    assert asset(f"/-/{name.format(ASSETS.version)}") is None


def test_files_are_compressed_for_whom_that_helps() -> None:
    address = f"/-/{ASSETS.version}/vendor/hls.light.min.mjs"
    plain, packed = asset(address), asset(address, accept_encoding="br, gzip")
    assert plain is not None
    assert packed is not None
    assert dict(packed.headers)["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body[0]) == plain.body[0]
    assert packed.size < plain.size / 3
    for answer in (plain, packed):
        assert dict(answer.headers)["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(("name", "digest"), PUBLISHED.items())
def test_players_of_others_are_as_published_and_have_their_licence_with_them(name: str, digest: str) -> None:
    assert sha256(ASSETS.by_name[name].data).hexdigest() == digest
    licence = ASSETS.by_name[re.sub(r"(vendor/\w+).*", r"\1.LICENSE.txt", name)].data
    assert b"Apache License" in licence
