"""What the DNS says about a sender's domain, against a resolver of our own."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator, Mapping, Sequence

import dns.flags
import dns.message
import dns.resolver
import dns.rrset
import pytest

from marketing.channels.dns import NameServers
from marketing.channels.domain import Finding, NoAnswer, check_domain

GOOD: Mapping[str, Sequence[str]] = {
    "shop.example": ["google-site-verification=x", "v=spf1 include:_spf.relay.example -all"],
    "mail2026._domainkey.shop.example": ["v=DKIM1; k=rsa; p=MIGf MA0G"],
    "_dmarc.shop.example": ["v=DMARC1; p=none; rua=mailto:dmarc@shop.example"],
}


class Zone:
    """A resolver that knows a few names."""

    def __init__(self, **changes: Sequence[str]) -> None:
        self.records = {**GOOD, **changes}

    def texts(self, name: str) -> Sequence[str]:
        return self.records.get(name, ())


def check(
    zone: Zone, *, address: str = "news@shop.example", back: str = "", selector: str = "mail2026"
) -> list[Finding]:
    return check_domain(address=address, return_path=back, selector=selector, resolver=zone)


def test_compliance_09__domain_with_spf_dkim_and_dmarc__has_nothing_to_mend() -> None:
    assert check(Zone()) == []


@pytest.mark.parametrize(
    ("name", "records", "finding"),
    [
        ("shop.example", ["other"], Finding("no_spf", "shop.example")),
        ("shop.example", ["v=spf1 -all", "V=SPF1 mx -all"], Finding("two_spf", "shop.example")),
        ("shop.example", ["v=spf1 mx +all"], Finding("open_spf", "shop.example")),
        ("shop.example", ["v=spf1 mx all"], Finding("open_spf", "shop.example")),
        ("mail2026._domainkey.shop.example", [], Finding("no_dkim", "mail2026._domainkey.shop.example")),
        ("mail2026._domainkey.shop.example", ["v=DKIM1; p="], Finding("no_dkim", "mail2026._domainkey.shop.example")),
        ("_dmarc.shop.example", [], Finding("no_dmarc", "_dmarc.shop.example")),
        ("_dmarc.shop.example", ["v=DMARC1; rua=mailto:x@y.example"], Finding("bad_dmarc", "_dmarc.shop.example")),
        (
            "_dmarc.shop.example",
            ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
            Finding("bad_dmarc", "_dmarc.shop.example"),
        ),
    ],
)
def test_compliance_09__what_mailboxes_ask_for_is_missing__is_named(
    name: str, records: list[str], finding: Finding
) -> None:
    assert check(Zone(**{name: records})) == [finding]


def test_compliance_09__policy_of_the_domain_above__covers_the_one_below() -> None:
    zone = Zone(**{"news.shop.example": ["v=spf1 mx ~all"], "mail2026._domainkey.news.shop.example": ["p=MIGf"]})
    assert check(zone, address="shop@News.Shop.Example") == []


def test_compliance_09__bounces_to_another_domain_without_a_key__are_not_aligned() -> None:
    zone = Zone(**{"relay.example": ["v=spf1 mx -all"]})
    assert check(zone, back="b@relay.example") == []  # DKIM proves the From line
    found = [finding.code for finding in check(zone, back="b@relay.example", selector="")]
    assert found == ["unknown_dkim", "not_aligned"]
    assert [finding.code for finding in check(Zone(), back="b@bounce.shop.example", selector="")][-1] != "not_aligned"


def test_compliance_06__relay_signs_with_a_key_we_do_not_know__the_checker_warns() -> None:
    assert check(Zone(), selector="") == [Finding("unknown_dkim", "shop.example")]


class _Answers(socketserver.BaseRequestHandler):
    """A name server with one record in two strings, one name without, and silence about the rest."""

    def handle(self) -> None:
        data, socket = self.request
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        if name.startswith("silent."):
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name == "shop.example.":
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", '"v=spf1 " "mx -all"'))
        socket.sendto(answer.to_wire(), self.client_address)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socketserver.UDPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

        def configured() -> dns.resolver.Resolver:
            resolver = dns.resolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = ["127.0.0.1"], server.server_address[1]
            return resolver

        monkeypatch.setattr("marketing.channels.dns.Resolver", configured)
        monkeypatch.setattr("marketing.channels.dns.PATIENCE", 0.3)
        yield
        server.shutdown()


@pytest.mark.usefixtures("name_server")
def test_name_servers__over_the_wire__join_strings_and_tell_silence_from_absence() -> None:
    servers = NameServers()
    assert servers.texts("shop.example") == ("v=spf1 mx -all",)
    assert servers.texts("empty.example") == ()
    with pytest.raises(NoAnswer, match=r"silent\.example"):
        servers.texts("silent.example")
