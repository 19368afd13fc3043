"""What may be dialled, and what goes over the wire: real sockets, a real receiver."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
import time
from typing import Any

import pytest
import standardwebhooks

from experiments.channels import webhook
from experiments.channels.addresses import AddressRefused, dial, is_public
from experiments.channels.webhook import Signed, WebhookFailed, check_url, post
from tests.experiments.channels.receivers import webhook_receiver

HERE = [ipaddress.ip_network("127.0.0.0/8")]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def make_signed(**changes: Any) -> Signed:
    return Signed(
        **{"message_id": "msg_1_2", "timestamp": 1_774_000_000, "body": b'{"a": 1}', "secret": SECRET, **changes}
    )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "192.0.0.8",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
    ],
)  # fmt: skip
def test_is_public__address_that_leads_inside__is_not(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_is_public__address_of_the_internet__is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80/", "http://localhost:80/x", "http://0:80/", "http://2130706433:80/"]
)
def test_post__private_address_in_any_spelling__is_refused_at_the_socket(url: str) -> None:
    with pytest.raises(AddressRefused, match="not public"):
        post(url, signed=make_signed())


def test_post__name_that_was_public_when_saved__is_refused_when_it_leads_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_url("https://rebound.example/")  # saving it was fine

    def rebound(*_args: Any, **_kwargs: Any) -> list[Any]:
        inside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 443))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443)), inside]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.7"):
        post("https://rebound.example/", signed=make_signed())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "only http and https"),
        ("https:///x", "names no host"),
        ("https://user:secret@example.com/", "password"),
        ("file:///etc/passwd", "only http and https"),
    ],
)
def test_check_url__address_that_is_never_called__says_why(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_url(url)


def test_dial__unusual_port_of_a_public_address__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 6379))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    with pytest.raises(AddressRefused, match="port 6379"):
        dial("example.com", 6379, timeout=1)


def test_dial__nobody_listens__raises_what_the_system_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        dial("127.0.0.1", port, timeout=1, allowed=HERE)


def test_post__allowed_network__arrives_signed_as_the_standard_says() -> None:
    with webhook_receiver() as received:
        post(f"{received.url}?tenant=1", signed=make_signed(timestamp=int(time.time())), allowed=HERE)
    headers, body = received.requests[0]
    assert standardwebhooks.Webhook(SECRET).verify(body, headers) == json.loads(body)
    assert headers["webhook-id"] == "msg_1_2"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(b'{"a": 2}', headers)


def test_post__redirect__is_not_followed() -> None:
    with webhook_receiver() as inner, webhook_receiver(302, location=inner.url) as outer:
        with pytest.raises(WebhookFailed, match="answered 302"):
            post(outer.url, signed=make_signed(), allowed=HERE)
        assert inner.requests == []


def test_post__receiver_that_speaks_no_http__fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            peer.recv(65_536)
            peer.sendall(b"220 mail.example ESMTP\r\n")
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WebhookFailed, match="no answer in HTTP"):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", signed=make_signed(), allowed=HERE)
        thread.join()


def test_post__answer_byte_by_byte__is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "LONGEST", 0.3)
    failure = pytest.raises(OSError, match=r"no answer in HTTP|closed|reset")
    with socket.create_server(("127.0.0.1", 0)) as server, failure:
        post(f"http://127.0.0.1:{server.getsockname()[1]}/", signed=make_signed(), allowed=HERE)


def test_post__https_receiver_without_tls__is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            peer.recv(65_536)
            peer.sendall(b"not tls")
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ssl.SSLError):
            post(f"https://127.0.0.1:{server.getsockname()[1]}/", signed=make_signed(), allowed=HERE)
        thread.join()
