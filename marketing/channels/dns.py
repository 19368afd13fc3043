"""The DNS, by dnspython: through the name servers of this machine, with a limit of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dns.exception import DNSException, Timeout
from dns.resolver import NXDOMAIN, NoAnswer, Resolver

from marketing.channels import domain

PATIENCE: Final = 5.0  # seconds for one name


class NameServers:
    """Asks the name servers that this machine is told to ask."""

    def texts(self, name: str) -> Sequence[str]:
        """Return the TXT records of a name; `domain.NoAnswer` where nobody answered in time."""
        try:
            answer = Resolver().resolve(name, "TXT", lifetime=PATIENCE)
        except (NXDOMAIN, NoAnswer):
            return ()
        except (Timeout, DNSException, OSError) as error:
            raise domain.NoAnswer(f"{name}: {type(error).__name__}") from error
        return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer)
