"""A mailbox that reports come to: a folder of `.eml` files, IMAP or POP3. Messages are read one at a time."""

from __future__ import annotations

import imaplib
import poplib
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from marketing.channels.bounces import LARGEST
from marketing.errors import CannotReadMailbox

TIMEOUT: Final = 30.0  # seconds
READ_FOLDER: Final = "read"
PORTS: Final = {"imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995}


class Letter(Protocol):
    """One message that waits in the mailbox."""

    def raw(self) -> bytes:
        """Return the message, cut after a megabyte."""

    def done(self) -> None:
        """Mark it so that it is not read again."""


def check_mailbox(place: str) -> None:
    """Raise `ValueError` for a place that is neither a folder nor the address of a mailbox."""
    parts = urlsplit(place)
    if parts.scheme in PORTS:
        if not (parts.hostname and parts.username):
            raise ValueError(f"{parts.scheme}: give a user and a host, as in imaps://user:password@host/INBOX")
    elif not Path(place).is_dir():
        raise ValueError(f"{place} is no folder, nor does it begin with {', '.join(f'{name}://' for name in PORTS)}")


def letters(place: str, *, limit: int) -> AbstractContextManager[Iterator[Letter]]:
    """Open a mailbox and yield its unread messages, oldest first, at most `limit`.

    `place` is a folder, or `imaps://user:password@host[:port][/folder]`, `pop3s://…`. A message that was done is moved
    into the folder `read` (folder), flagged as seen (IMAP) or deleted (POP3). Raises `CannotReadMailbox`.
    """
    parts = urlsplit(place)
    if parts.scheme in ("imap", "imaps"):
        return _imap(parts, limit)
    return _pop(parts, limit) if parts.scheme in ("pop3", "pop3s") else _folder(Path(place), limit)


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path

    def raw(self) -> bytes:
        with self._path.open("rb") as stream:
            return stream.read(LARGEST)

    def done(self) -> None:
        read = self._path.parent / READ_FOLDER
        read.mkdir(exist_ok=True)
        self._path.replace(read / self._path.name)


@contextmanager
def _folder(folder: Path, limit: int) -> Iterator[Iterator[Letter]]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".eml" and path.is_file())
        yield (_File(path) for path in paths[:limit])
    except OSError as error:
        raise CannotReadMailbox(f"{folder} cannot be read: {error}") from error


class _Imap:
    def __init__(self, connection: imaplib.IMAP4, number: str) -> None:
        self._connection, self._number = connection, number

    def raw(self) -> bytes:
        _state, found = self._connection.fetch(self._number, f"(BODY.PEEK[]<0.{LARGEST}>)")
        return next((bytes(part[1]) for part in found if isinstance(part, tuple)), b"")

    def done(self) -> None:
        self._connection.store(self._number, "+FLAGS", r"(\Seen)")


@contextmanager
def _imap(parts: SplitResult, limit: int) -> Iterator[Iterator[Letter]]:
    try:
        kind = imaplib.IMAP4_SSL if parts.scheme == "imaps" else imaplib.IMAP4
        with kind(parts.hostname or "", parts.port or PORTS[parts.scheme], timeout=TIMEOUT) as connection:
            connection.login(unquote(parts.username or ""), unquote(parts.password or ""))
            folder = unquote(parts.path.strip("/")) or "INBOX"
            state, _count = connection.select(f'"{folder}"')
            if state != "OK":
                raise CannotReadMailbox(f"{parts.hostname} has no folder {folder}")
            _state, found = connection.search(None, "UNSEEN")
            numbers = (found[0] or b"").decode().split()
            yield (_Imap(connection, number) for number in numbers[:limit])
    except (OSError, imaplib.IMAP4.error) as error:
        raise CannotReadMailbox(f"{parts.hostname} cannot be read: {error}") from error


class _Pop:
    def __init__(self, connection: poplib.POP3, number: int) -> None:
        self._connection, self._number = connection, number

    def raw(self) -> bytes:
        lines = self._connection.retr(self._number)[1]
        return b"".join(line + b"\r\n" for line in lines)[:LARGEST]

    def done(self) -> None:
        self._connection.dele(self._number)


@contextmanager
def _pop(parts: SplitResult, limit: int) -> Iterator[Iterator[Letter]]:
    try:
        kind = poplib.POP3_SSL if parts.scheme == "pop3s" else poplib.POP3
        connection = kind(parts.hostname or "", parts.port or PORTS[parts.scheme], timeout=TIMEOUT)
        with closing(connection):
            connection.user(unquote(parts.username or ""))
            connection.pass_(unquote(parts.password or ""))
            number, _size = connection.stat()
            yield (_Pop(connection, place + 1) for place in range(min(number, limit)))
            connection.quit()  # only now what was deleted goes
    except (OSError, poplib.error_proto) as error:
        raise CannotReadMailbox(f"{parts.hostname} cannot be read: {error}") from error
