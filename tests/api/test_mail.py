"""Messages that wait for a webhook: tried ever more rarely, for a day, and not without number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from marketplace.accounts import mail
from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.mail import GIVE_UP, Letter, Mail
from marketplace.accounts.webhooks import Webhooks


@contextmanager
def queue(folder: Path) -> Iterator[tuple[Mail, Webhooks, str]]:
    database = AccountsDatabase(folder / "a.db")
    hooks = Webhooks(database)
    yield Mail(database), hooks, hooks.add("0x01", "https://a.example", ("job.opened",), (), None, now=0).id
    database.close()


def test_a_message_is_tried_ever_more_rarely_for_a_day_and_then_its_webhook_is_disabled(
    tmp_path: Path,
) -> None:
    with queue(tmp_path) as (post, hooks, hook):
        post.post(Letter(hook, "job.opened", "1-0-0000000000000000", b"{}"), now=0)
        post.post(Letter(hook, "job.opened", "1-1-0000000000000000", b"{}"), now=0)
        now, waits = 0.0, []
        while hooks.active():
            (due,) = post.due(now=now, busy=(), most=9)
            assert due.number == 1 or waits  # one at a time for each webhook
            post.failed(due, 500, "HTTP 500", now=now)
            later = [sent.next_at for sent in post.of(hook, after=None, limit=9) if sent.next_at is not None]
            waits.append(min(later) - now if later else 0)
            now = max(now, float(min(later) + 1)) if later else now
        assert now > GIVE_UP - 5 * 3600 and 15 < len(waits) < 60
        assert "no message arrived for a day" in (hooks.of("0x01")[0].reason or "")
        assert {sent.state for sent in post.of(hook, after=None, limit=9)} == {"failed"}
        assert post.due(now=now * 2, busy=(), most=9) == []


def test_a_webhook_for_which_too_much_waits_is_disabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "MAX_PENDING", 3)
    with queue(tmp_path) as (post, hooks, hook):
        for number in range(4):
            post.post(Letter(hook, "job.opened", f"1-{number}-0000000000000000", b"{}"), now=0)
        assert hooks.of("0x01")[0].state == "disabled"
        assert post.due(now=9, busy=(), most=9) == []
        post.forget_old(now=10**9)
        assert post.of(hook, after=None, limit=9) == []
