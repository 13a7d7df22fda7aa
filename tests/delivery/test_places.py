"""What a path names, with keys of every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.delivery.places import Asset, Place, path_of, read_path


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/live/key", Place("live", "key", "page")),
        ("/live/key.flv", Place("live", "key", "flv")),
        ("/live/key.jpg", Place("live", "key", "thumbnail")),
        ("/live/key/index.m3u8", Place("live", "key", "index.m3u8")),
        ("/live/key/part-12.3.m4s", Place("live", "key", "part-12.3.m4s")),
        ("/live/room/key.flv", Place("live/room", "key", "flv")),
        ("/live/index.m3u8", None),
        ("/live/key.m3u8", None),
        ("/live/a%2Fb%20c.flv", Place("live", "a/b c", "flv")),
        ("/live/key%2Eflv", None),
        ("/live/key.flv.flv", None),
        ("/live/mp4:clip.mp4", Place("live", "mp4:clip.mp4", "page")),
        ("/live/%ff", Place("live", "\udcff", "page")),
        ("/-/player.js", Asset("player.js")),
        ("/", None),
        ("/live", None),
        ("/live/", None),
        ("//key", None),
        ("/live/%", None),
        ("/live/%zz", None),
        ("/live/a%00b", None),
        ("/live/a%0d%0ab", None),
    ],
)
def test_a_path_names_an_application_a_key_and_what_is_wanted(path: str, place: Place | Asset | None) -> None:
    assert read_path(path) == place


@given(st.text(min_size=1).filter(lambda key: not key.endswith((".flv", ".jpg", ".m3u8"))))
def test_a_key_comes_out_of_its_address_as_it_was(key: str) -> None:
    key = "".join(character for character in key if character.isprintable() and not "\ud800" <= character <= "\udfff")
    if key and not key.endswith((".flv", ".jpg", ".m3u8")):
        assert read_path(path_of("live", key)) == Place("live", key, "page")
        assert read_path(path_of("live", key) + ".flv") == Place("live", key, "flv")
