"""The settings node: every setting, its spellings, bounds and defaults, and what stays secret."""

from collections.abc import Callable

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.config.settings import KNOWN_SETTINGS, MOST_STREAMS_OF_CONNECTION, Settings, is_loopback
from mmids_trio.rtmp.protocol.message_streams import MAX_MESSAGE_STREAMS

Found = list[tuple[int, int, str]]
Find = Callable[[str], Found]


def read(*lines: str) -> Settings:
    document = parse("\n".join(["settings {", *lines, "}"]), "test")
    assert (document.problems, document.warnings) == ((), ())
    return document.settings


def test_without_a_settings_node_everything_has_its_default() -> None:
    settings = parse("", "test").settings
    assert settings == Settings() == read()
    assert (settings.http_api_port, settings.http_api_host, settings.log_path) == (None, "127.0.0.1", "logs")
    assert settings.publisher_timeout == 30


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (r'ffmpeg_path "C:\program files\ffmpeg.exe"', "ffmpeg_path", r"C:\program files\ffmpeg.exe"),
        ("ffmpeg_path a=b=c", "ffmpeg_path", "a=b=c"),
        ("ffmpeg_proxy http://user:word@proxy:3128", "ffmpeg_proxy", "http://user:word@proxy:3128"),
        ("http_api_port 9011", "http_api_port", 9011),
        ("http_port 9011", "http_api_port", 9011),
        ("http_api_port 0", "http_api_port", 0),
        ("http_api_port 65535", "http_api_port", 65_535),
        ('http_api_port "80"', "http_api_port", 80),
        ("http_api_port", "http_api_port", None),
        ("rtmp_host 0.0.0.0", "rtmp_host", "0.0.0.0"),
        ("rtmp_host ::", "rtmp_host", "::"),
        ("http_api_host localhost", "http_api_host", "localhost"),
        ("http_api_host ::1", "http_api_host", "::1"),
        ("http_api_hosts Mmids.internal", "http_api_hosts", ("mmids.internal",)),
        ('http_api_hosts "a.example, [::2]"', "http_api_hosts", ("a.example", "[::2]")),
        ("http_api_token a=b+/~", "http_api_token", "a=b+/~"),
        ("tls_cert_path cert.pfx", "tls_cert_path", "cert.pfx"),
        ('tls_cert_password "p#ss word"', "tls_cert_password", "p#ss word"),
        ('tls_cert_password ""', "tls_cert_password", ""),
        ("tls_key_path key.pem", "tls_key_path", "key.pem"),
        ("tls_more_certs b.pem", "tls_more_certs", (("b.pem", None),)),
        ('tls_more_certs "b.pem, c.pem key.pem"', "tls_more_certs", (("b.pem", None), ("c.pem", "key.pem"))),
        ("log_path /var/log", "log_path", "/var/log"),
        ("log_path", "log_path", "logs"),
        ("log_path none", "log_path", None),
        ("log_path ./none", "log_path", "./none"),
        ("log_console json", "log_console", "json"),
        ("publisher_timeout 86400", "publisher_timeout", 86_400),
    ],
)
def test_a_setting_is_read_as_what_it_is(line: str, field: str, value: object) -> None:
    assert getattr(read(line), field) == value


@pytest.mark.parametrize("hosts", ['""', ",", "a:80", "http://a", "a/b", "*"])
def test_hosts_are_names_without_ports(hosts: str, errors_of: Find) -> None:
    [(_, _, message)] = errors_of(f"settings {{\n http_api_hosts {hosts}\n}}")
    assert message == "expected names of hosts without ports, separated by commas"


@pytest.mark.parametrize("name", ["http_api_port", "http_port"])
@pytest.mark.parametrize("port", ["-1", "65536", "abc", '""', "80.0", "0x50", "+80", "8_0", "²", "1" * 30])
def test_a_port_is_a_whole_number_in_range(name: str, port: str, errors_of: Find) -> None:
    expected = (2, len(name) + 3, "expected a whole number from 0 to 65535")
    assert errors_of(f"settings {{\n {name} {port}\n}}") == [expected]


@pytest.mark.parametrize("seconds", ["-1", "86401", "1.5", "x"])
def test_the_publisher_timeout_is_at_most_a_day(seconds: str, errors_of: Find) -> None:
    message = "expected a whole number of seconds from 0 to 86400"
    assert errors_of(f"settings {{\n publisher_timeout {seconds}\n}}") == [(2, 20, message)]


@pytest.mark.parametrize(
    "name", ["ffmpeg_path", "rtmp_host", "http_api_host", "tls_cert_path", "tls_key_path", "log_path"]
)
def test_a_path_or_host_is_not_empty(name: str, errors_of: Find) -> None:
    message = "expected a value that is not empty, or none at all"
    assert errors_of(f'settings {{\n {name} ""\n}}') == [(2, len(name) + 3, message)]


@pytest.mark.parametrize("proxy", ["proxy:3128", "https://proxy", "socks5://proxy", "http://", "http://proxy/path"])
def test_a_proxy_is_one_that_ffmpeg_can_speak_to(proxy: str, errors_of: Find) -> None:
    message = "expected the URL of an HTTP proxy, as in http://proxy.example.com:3128"
    assert errors_of(f"settings {{\n ffmpeg_proxy {proxy}\n}}") == [(2, 15, message)]


@pytest.mark.parametrize("token", ['""', '"two words"', "schlüssel", '"a\tb"'])
def test_a_token_can_stand_in_a_header(token: str, errors_of: Find) -> None:
    message = "expected a token of visible ASCII characters without spaces"
    assert errors_of(f"settings {{\n http_api_token {token}\n}}") == [(2, 17, message)]


@pytest.mark.parametrize(
    ("lines", "place", "message"),
    [
        ("log_path a\n log_path a", (3, 2), "setting 'log_path' is given twice (first on line 2)"),
        ("log_path\n log_path a", (3, 2), "setting 'log_path' is given twice (first on line 2)"),
        ("http_api_port 1\n http_port 1", (3, 2), "setting 'http_api_port' is given twice (first on line 2)"),
        ("log_path a b", (2, 13), "expected the end of the line: a setting has one value (quotes allow spaces)"),
        ("log_path=a", (2, 2), "expected white space, not '=', between the setting 'log_path' and its value"),
        ('"log_path" a', (2, 2), "expected a setting name, which is a word without quotes; found a quoted string"),
    ],
)
def test_a_setting_is_given_once_and_has_one_value(
    lines: str, place: tuple[int, int], message: str, errors_of: Find
) -> None:
    assert errors_of(f"settings {{\n {lines}\n}}") == [(*place, message)]


def test_there_is_one_settings_node_without_arguments(errors_of: Find) -> None:
    assert errors_of("settings a b {\n}\nSettings {\n log_path x\n}") == [
        (1, 10, "expected '{': settings takes no arguments"),
    ]


def test_two_settings_nodes_are_merged_with_a_warning_and_the_last_value_counts() -> None:
    text = "settings {\n log_path a\n rtmp_host ::\n}\nsettings {\n log_path b\n http_api_port 1\n}"
    document = parse(text, "test")
    settings = document.settings
    assert (settings.log_path, settings.rtmp_host, settings.http_api_port) == ("b", "::", 1)
    assert document.problems == ()
    [warning] = document.warnings
    assert (warning.place.line, warning.message.split(",")[:2]) == (
        5,
        ["a second settings node", " merged with that on line 1; of a setting in both the last counts"],
    )


def test_a_token_in_one_settings_node_protects_the_address_in_the_other() -> None:
    nodes = ["settings {\n http_api_host 0.0.0.0\n}\n", "settings {\n http_api_token secret\n}\n"]
    for text in ("".join(nodes), "".join(reversed(nodes))):
        assert parse(text, "test").problems == ()
    [problem] = parse(nodes[0] + "settings {\n http_api_port 1\n}\n", "test").problems
    assert "http_api_token" in problem.message


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("ffmpeg_paht", "ffmpeg_path"), ("Log_Path", "log_path"), ("http_api_prot", "http_api_port")],
)
def test_an_unknown_setting_is_a_warning_that_names_the_nearest(name: str, suggestion: str, warnings_of: Find) -> None:
    expected = (2, 2, f"unknown setting '{name}'; did you mean '{suggestion}'?")
    assert warnings_of(f"settings {{\n {name} x\n}}") == [expected]


def test_an_unknown_setting_that_is_near_to_none_names_none(warnings_of: Find) -> None:
    assert warnings_of("settings {\n zzz\n}") == [(2, 2, "unknown setting 'zzz'")]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com", "localhost.example.com", "127.1"])
def test_an_api_that_others_can_reach_needs_a_token(host: str, errors_of: Find) -> None:
    [(line, column, message)] = errors_of(f"settings {{\n http_api_host {host}\n http_api_token\n}}")
    assert (line, column) == (2, 16)
    assert message.startswith("expected a setting 'http_api_token' or 'http_api_tokens_path' too")
    assert read(f"http_api_host {host}", "http_api_token secret").http_api_token == "secret"


def test_a_token_that_is_malformed_is_not_also_missing(errors_of: Find) -> None:
    [(line, _, _)] = errors_of('settings {\n http_api_host ::\n http_api_token "a b"\n}')
    assert line == 3


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9", "::1"])
def test_a_loopback_address_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert read(f"http_api_host {host}").http_api_token is None


@pytest.mark.parametrize(
    "line",
    [
        "http_api_token s3cret s3cret",
        'http_api_token "s3cret',
        'tls_cert_password a"s3cret"',
        "tls_cert_password=s3cret",
        "HTTP_API_TOKEN s3cret",
        "http_api_tokne s3cret",
        "tls_cert_pasword s3cret",
        "http_api_token s3cret\0",
    ],
)
def test_a_secret_is_not_shown_in_any_message(line: str) -> None:
    document = parse(f"settings {{\n\t{line}\n}}", "test")
    [problem] = document.problems + document.warnings
    assert "s3cret" not in str(problem)
    assert line.replace("=", " ").split()[0] in problem.place.source
    assert len(problem.place.source) == len(line) + 1


def test_a_secret_is_not_shown_with_the_settings() -> None:
    settings = read("http_api_token s3cret", "tls_cert_password s3cret")
    assert "s3cret" not in repr(settings)


def test_every_known_spelling_fills_a_field() -> None:
    fields = set(Settings.__annotations__)
    assert {setting.attribute for setting in KNOWN_SETTINGS.values()} == fields
    assert set(KNOWN_SETTINGS) == fields | {"http_port"}


def test_a_connection_may_have_as_many_streams_as_the_protocol_lets_it_create() -> None:
    assert MOST_STREAMS_OF_CONNECTION == MAX_MESSAGE_STREAMS
