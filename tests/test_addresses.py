"""Which peers the rules of a registration let in."""

import pytest

from mmids_trio.addresses import AddressRules, parse_networks, source_of


def allowing(text: str) -> AddressRules:
    return AddressRules(allowed=parse_networks(text))


def denying(text: str) -> AddressRules:
    return AddressRules(denied=parse_networks(text))


def test_without_rules_everybody_may_connect() -> None:
    assert AddressRules().permit("203.0.113.7")
    assert AddressRules().permit("2001:db8::1")
    assert AddressRules().permit("")


@pytest.mark.parametrize(
    ("networks", "peer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("10.0.0.0/8", "10.255.255.255"),
        ("10.1.2.3/8", "10.9.9.9"),  # host bits are as good as zeros
        ("198.51.100.1, 10.0.0.0/8", "10.0.0.1"),
        ("2001:db8::/32", "2001:db8:ffff::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::/10", "fe80::1%eth0"),
        ("10.0.0.0/8", "::ffff:10.1.1.1"),
        ("::ffff:10.0.0.0/104", "10.1.1.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("0.0.0.0/0", "192.0.2.1"),
        ("::/0", "2001:db8::1"),
    ],
)
def test_a_peer_within_a_network_is_allowed_by_one_rule_and_denied_by_the_other(networks: str, peer: str) -> None:
    assert allowing(networks).permit(peer)
    assert not denying(networks).permit(peer)


@pytest.mark.parametrize(
    ("networks", "peer"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("10.0.0.0/8", "11.0.0.0"),
        ("2001:db8::/32", "2001:db9::1"),
        ("0.0.0.0/0", "2001:db8::1"),
        ("::/0", "192.0.2.1"),
        ("10.0.0.0/8", "::10.1.1.1"),  # the deprecated "compatible" form is an IPv6 address like any other
    ],
)
def test_a_peer_outside_all_networks_is_not_allowed_by_one_rule_and_not_denied_by_the_other(
    networks: str, peer: str
) -> None:
    assert not allowing(networks).permit(peer)
    assert denying(networks).permit(peer)


@pytest.mark.parametrize("rules", [allowing("0.0.0.0/0"), denying("192.0.2.1")])
def test_a_peer_without_an_address_passes_no_rule(rules: AddressRules) -> None:
    assert not rules.permit("")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("10.0.0.0/8,nonsense", "'nonsense'"),
        ("10.0.0.0/33", "'10.0.0.0/33'"),
        ("256.1.1.1", "'256.1.1.1'"),
        ("2001:db8::/129", "'2001:db8::/129'"),
        ("", "''"),
        ("10.0.0.1,", "''"),
        ("10.0.0.1;10.0.0.2", "'10.0.0.1;10.0.0.2'"),
        ("01.2.3.4", "'01.2.3.4'"),
    ],
)
def test_what_is_no_network_is_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match="is not an IPv4 or IPv6 address or CIDR network") as caught:
        parse_networks(text)
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:7:1:2:3:4", "2001:db8:0:7::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_connections_are_counted_by_ipv4_address_and_ipv6_network(host: str, source: str) -> None:
    assert source_of(host) == source
