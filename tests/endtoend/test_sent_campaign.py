"""A campaign by e-mail as its recipients live through it, with a real web server, worker, beat, SMTP and HTTP.

Two letters and a silent control; one letter is known to double the orders, the other to do nothing. The recipients read
their mail with the standard library's parser, click, unsubscribe, bounce and order by what they got; the page must find
what is known. The stack first lives nine days ago, so that the windows have closed when it is started again.
"""

from __future__ import annotations

import json
import os
import random
import time
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.endtoend.stack import Stack, until
from tests.endtoend.test_closed_loop import CATALOGUE, EVERY_TWO_SECONDS, NINE_DAYS, sign_in
from tests.endtoend.visitors import Visitor
from tests.factories.campaigns import BROWSER
from tests.marketing.channels.reports import dsn
from tests.smtp import smtp_server

pytestmark = [pytest.mark.slow, pytest.mark.worker, pytest.mark.browser]
PEOPLE = 420
ORDERS = {"control": 0.35, "words": 0.35, "picks": 0.75}
"""By arm: the truth that the page must find. No arm has so few orders that a look is refused (25)."""
REFUSED = 21  # one in twenty has a mailbox that does not exist
LEAVING, BOUNCING = 3, 2

LAUNCH = """
from django.utils import timezone
from marketing.models import Sender
from marketing.services.campaigns import ArmDraft, CampaignDraft, create_campaign
from marketing.services.lifecycle import launch
from marketing.services.reviews import switch_review
at = timezone.now()
sender = Sender.objects.create(name="Shop", email="news@shop.example", postal_address="1 High Street")
body = "<p>Dear {{ person.country | default: 'reader' }}</p>"
letter = dict(percent=33, body=body, button_text="Look", link="/shop/")
draft = CampaignDraft(
    slug="letters", name="Letters", goal_metric="conversion", consent_purposes=("analytics", "personalization"),
    baseline=0.35, mde=1.0, people_per_day=1_000, kind="email", sender_id=sender.pk, window_from=0, window_until=24,
    arms=(
        ArmDraft(key="control", name="No message", percent=34, is_control=True),
        ArmDraft(key="words", name="Words", subject="News", headline="Our news", **letter),
        ArmDraft(key="picks", name="Picks", subject="For you", headline="Chosen for you", strategy="popularity",
                 item_count=3, **letter),
    ),
)
switch_review(is_on=False, reason="There is one of us.", at=at)
launch(campaign_id=create_campaign(draft=draft, at=at).pk, at=at)
"""
STATE = """
import json
from experiments.models import Exposure
from marketing.models import Delivery, Event, Suppression
print(json.dumps({
    "rows": list(Delivery.objects.values_list("profile__email", "arm_key", "status")),
    "exposed": Exposure.objects.count(),
    "suppressed": Suppression.objects.count(),
    "events": list(Event.objects.values_list("type__name", flat=True)),
}))
"""
REPORT = """
import json
from experiments.selectors import get_report
report = get_report(experiment_key="campaign-letters")
if report is not None and report.verdict.outcome == "ship":
    print(json.dumps({
        "healthy": report.health.is_healthy,
        "values": {arm.arm: [arm.mature_n, arm.nonzero_n] for arm in report.primary.arms},
        "effects": {
            one.arm: [one.deciding.effect, one.always_valid.effect_ci.lower, one.always_valid.effect_ci.upper]
            for one in report.primary.comparisons
        },
    }))
"""


class Provider:
    """A mail server that knows who has a mailbox here, and keeps what it took."""

    def __init__(self) -> None:
        self.mails: dict[str, EmailMessage] = {}
        self.seen: Counter[str] = Counter()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("gone-"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it so
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails[envelope.rcpt_tos[0]] = message
        self.seen[envelope.rcpt_tos[0]] += 1
        return "250 OK"


class Links(HTMLParser):
    """The addresses of a message's links, as a mail client finds them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


@pytest.fixture
def provider() -> Iterator[tuple[Provider, int]]:
    box = Provider()
    with smtp_server(box) as port:
        yield box, port


def address_of(number: int) -> str:
    return f"{'gone' if number < REFUSED else 'person'}-{number}@example.org"


def write_people(file: Path) -> None:
    rows = "".join(f"customer-{number},{address_of(number)},yes,yes,yes\n" for number in range(PEOPLE))
    file.write_text(f"user_id,email,consent_analytics,consent_personalization,consent_marketing_email\n{rows}")


def read(mail: EmailMessage, stack: Stack, number: int) -> None:
    """Parse a message as a client would, and follow its first link as a person does."""
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "1 High Street" in text.get_content()
    links = Links()
    links.feed(html.get_content())
    assert all(link.startswith(stack.url) for link in links.found), links.found
    Visitor(stack.url, number).get(links.found[0].removeprefix(stack.url))


def one_click(mail: EmailMessage) -> int:
    """Unsubscribe as a mailbox provider does: RFC 8058's POST without cookies."""
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = str(mail["List-Unsubscribe"]).strip().strip("<>")
    with urllib.request.urlopen(address, data=b"List-Unsubscribe=One-Click", timeout=30) as answer:
        return int(answer.status)


def send_orders(stack: Stack, key: str, numbers: list[int]) -> None:
    """Tell the collector what was ordered, as a shop's server does."""
    batch = [
        {
            "type": "track",
            "event": "Order Completed",
            "messageId": f"order-{number}",
            "userId": f"customer-{number}",
            "properties": {"order_id": f"order-{number}", "revenue": 20, "currency": "EUR"},
        }
        for number in numbers
    ]
    request = urllib.request.Request(
        f"{stack.url}/v1/batch",
        data=json.dumps({"batch": batch}).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + b64encode(f"{key}:".encode()).decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def picture(page: Page, name: str) -> None:
    """Renew a picture of the guide where `HOLDOUT_SCREENSHOTS` names its folder: `docs/screenshots`."""
    folder = os.environ.get("HOLDOUT_SCREENSHOTS")
    if folder:
        page.set_viewport_size({"width": 1200, "height": 1400})
        page.screenshot(path=Path(folder) / name)


def test_sent_campaign__recipients_of_a_known_effect__the_page_finds_it(
    stack: Stack, browser: Browser, provider: tuple[Provider, int], tmp_path: Path
) -> None:
    box, port = provider
    bounces = tmp_path / "bounces"
    bounces.mkdir()
    stack.shift = -NINE_DAYS
    stack.extra |= {
        "EMAIL_URL": f"smtp://127.0.0.1:{port}",
        "HOLDOUT_PUBLIC_URL": stack.url,
        "HOLDOUT_BOUNCE_MAILBOX": str(bounces),
    }
    stack.start()
    write_people(tmp_path / "people.csv")
    stack.manage("import_profiles", str(tmp_path / "people.csv"))
    stack.run(CATALOGUE)
    stack.manage("train")
    stack.run(EVERY_TWO_SECONDS)
    key = stack.manage("issue_key", "shop").strip().split()[-1]
    stack.run(LAUNCH)

    def state() -> dict[str, Any]:
        return dict(json.loads(stack.run(STATE)))

    def is_sent() -> dict[str, Any] | None:
        now = state()
        done = {status for *_, status in now["rows"]} <= {"sent", "withheld", "failed"}
        return now if done and len(now["rows"]) == PEOPLE else None

    sent = until(is_sent, what="end of the sending by beat and worker", pause=1.0)
    arms = {email: arm for email, arm, _ in sent["rows"]}
    statuses = {email: status for email, _, status in sent["rows"]}
    treated = {email for email, arm in arms.items() if arm != "control"}
    assert set(box.mails) == {email for email in treated if not email.startswith("gone-")}
    assert max(box.seen.values()) == 1
    assert all(statuses[email] == "withheld" for email in arms if email not in treated)
    assert sent["exposed"] == PEOPLE  # the refused as well: a refusal is delivery
    assert {box.mails[email]["Subject"] for email in box.mails if arms[email] == "picks"} == {"For you"}

    time.sleep(2.5)  # an earlier click is taken for a scanner's
    numbers = {address_of(number): number for number in range(PEOPLE)}
    readers = sorted(box.mails)[::3]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda email: read(box.mails[email], stack, numbers[email]), readers))
    assert [one_click(box.mails[email]) for email in readers[:LEAVING]] == [200] * LEAVING
    for email in readers[-BOUNCING:]:
        report = dsn(message_id=box.mails[email]["Message-ID"], address=email)
        (bounces / f"{numbers[email]}.eml").write_bytes(report)
    chance = random.Random(5)
    luck = {email: chance.random() for email in sorted(arms)}
    ordering = {email for email, arm in arms.items() if luck[email] < ORDERS[arm]}
    send_orders(stack, key, [numbers[email] for email in sorted(ordering)])

    def is_counted() -> dict[str, Any] | None:
        now = state()
        happened = Counter(now["events"])
        refused = sum(status == "failed" for status in statuses.values())
        is_whole = happened["Order Completed"] == len(ordering) and now["suppressed"] >= refused + BOUNCING
        return now if is_whole else None

    happened = Counter(until(is_counted, what="orders and bounces, taken in by beat and worker", pause=1.0)["events"])
    assert happened["Recommendation Clicked"] == len(readers), happened
    stack.stop()

    stack.shift = 0.0
    stack.start()

    def has_result() -> dict[str, Any] | None:
        said = stack.run(REPORT).strip()
        return dict(json.loads(said)) if said else None

    result = until(has_result, what="verdict to ship, computed by beat and worker", pause=1.0)
    by_arm = {arm: [list(arms.values()).count(arm), sum(arms[email] == arm for email in ordering)] for arm in ORDERS}
    assert result["healthy"]
    assert result["values"] == by_arm  # every person and every order, the refused and the silent ones included
    for arm, (effect, lower, upper) in result["effects"].items():
        shares = {key: ordered / people for key, (people, ordered) in by_arm.items()}
        assert effect == pytest.approx(shares[arm] - shares["control"], abs=1e-9)
        assert lower <= ORDERS[arm] - ORDERS["control"] <= upper
    page = browser.new_page(user_agent=BROWSER)
    sign_in(page, stack)
    page.goto(f"{stack.url}/campaigns/letters/")
    expect(page.locator("main")).to_contain_text("Ship Picks")
    expect(page.locator("main")).to_contain_text("Caused by the campaign · Picks")
    picture(page, "campaign-mail.png")
    funnel = page.get_by_role("row", name="Picks").filter(has_text=str(by_arm["picks"][0])).first
    expect(funnel).to_contain_text(str(sum(arms[email] == "picks" for email in box.mails)))
    page.goto(f"{stack.url}/campaigns/letters/preview/picks/")
    expect(page.locator("iframe").first).to_be_visible()
    picture(page, "campaign-mail-preview.png")
    assert "Internal Server Error" not in stack.log.read_text()
