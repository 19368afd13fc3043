"""The places that reports are read from: a folder, IMAP, POP3; with servers of their own in this process."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from marketing.channels.mailbox import check_mailbox, letters
from marketing.errors import CannotReadMailbox

MAIL = b"Subject: one\r\n\r\nbody\r\n"


def test_letters__folder__yields_once_and_keeps_what_was_read(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.eml").write_bytes(MAIL)
    (tmp_path / "note.txt").write_text("no mail")
    with letters(str(tmp_path), limit=2) as waiting:
        for letter in waiting:
            assert letter.raw() == MAIL
            letter.done()
    assert sorted(path.name for path in tmp_path.glob("*.eml")) == ["2.eml"]
    assert len(list((tmp_path / "read").iterdir())) == 2


class _Pop(socketserver.StreamRequestHandler):
    waiting: list[bytes]

    def handle(self) -> None:
        self.wfile.write(b"+OK ready\r\n")
        deleted = set()
        while line := self.rfile.readline().decode().split():
            if line[0] == "STAT":
                self.wfile.write(f"+OK {len(self.waiting)} 1\r\n".encode())
            elif line[0] == "RETR":
                self.wfile.write(b"+OK\r\n" + self.waiting[int(line[1]) - 1] + b".\r\n")
            elif line[0] == "PASS" and line[1] != "p@ss":
                self.wfile.write(b"-ERR no\r\n")
            else:
                if line[0] == "DELE":
                    deleted.add(int(line[1]) - 1)
                if line[0] == "QUIT":
                    self.waiting[:] = [mail for place, mail in enumerate(self.waiting) if place not in deleted]
                self.wfile.write(b"+OK\r\n")


class _Imap(socketserver.StreamRequestHandler):
    waiting: list[bytes]

    def handle(self) -> None:
        self.wfile.write(b"* OK ready\r\n")
        while line := self.rfile.readline().decode().split(maxsplit=2):
            tag, verb = line[0].encode(), line[1].upper()
            if verb == "CAPABILITY":
                self.wfile.write(b"* CAPABILITY IMAP4REV1\r\n")
            elif verb == "SELECT":
                self.wfile.write(b"* 2 EXISTS\r\n")
            elif verb == "SEARCH":
                numbers = " ".join(str(place + 1) for place, mail in enumerate(self.waiting) if mail)
                self.wfile.write(f"* SEARCH {numbers}\r\n".encode())
            elif verb == "FETCH":
                assert "BODY.PEEK" in line[2]  # reading alone must not mark it
                mail = self.waiting[int(line[2].split()[0]) - 1]
                self.wfile.write(b"* 1 FETCH (BODY[]<0> {%d}\r\n" % len(mail) + mail + b")\r\n")
            elif verb == "STORE":
                self.waiting[int(line[2].split()[0]) - 1] = b""
            if verb == "LOGIN" and "p@ss" not in line[2]:
                self.wfile.write(tag + b" NO wrong\r\n")
            else:
                self.wfile.write(tag + b" OK done\r\n")


@contextmanager
def server(kind: type[socketserver.StreamRequestHandler], mails: list[bytes]) -> Iterator[int]:
    handler = type("Handler", (kind,), {"waiting": mails})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as one:
        threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield one.server_address[1]
        one.shutdown()


@pytest.mark.parametrize(("kind", "scheme"), [(_Pop, "pop3"), (_Imap, "imap")])
def test_letters__server__reads_and_marks_what_was_done(
    kind: type[socketserver.StreamRequestHandler], scheme: str
) -> None:
    mails = [MAIL, MAIL]
    with server(kind, mails) as port:
        with letters(f"{scheme}://box:p%40ss@127.0.0.1:{port}/INBOX", limit=5) as waiting:
            first = next(iter(waiting))
            assert first.raw() == MAIL
            first.done()
        with letters(f"{scheme}://box:p%40ss@127.0.0.1:{port}", limit=5) as waiting:
            assert len(list(waiting)) == 1


@pytest.mark.parametrize(("kind", "scheme"), [(_Pop, "pop3"), (_Imap, "imap")])
def test_letters__wrong_password__says_which_mailbox_and_not_the_password(
    kind: type[socketserver.StreamRequestHandler], scheme: str
) -> None:
    with (
        server(kind, []) as port,
        pytest.raises(CannotReadMailbox, match=r"^127\.0\.0\.1 cannot be read"),
        letters(f"{scheme}://box:wrong@127.0.0.1:{port}", limit=5),
    ):
        raise AssertionError("the mailbox opened")


@pytest.mark.parametrize("place", ["imaps://host/INBOX", "/no/such/folder", "ftp://user:x@host"])
def test_check_mailbox__no_mailbox__is_refused(place: str) -> None:
    with pytest.raises(ValueError, match=r"user and a host|no folder"):
        check_mailbox(place)
