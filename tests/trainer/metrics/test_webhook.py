"""Documents arrive, are tried again where that may help, and hold nothing up."""

import socket
import threading
import time

import pytest
from metrics.webhooks import PATH, receiving

from trainer.metrics.webhook import Webhook, is_slack, valid


def sent(url, document, wait=20.0, attempt=5.0):
    webhook = Webhook(url, attempt_seconds=attempt, pauses=(0.02, 0.02))
    webhook.send(document)
    begun = time.monotonic()
    webhook.close(wait)
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("answers", "attempts", "warning"),
    [
        ((200,), 1, ""),
        ((204,), 1, ""),
        ((500, 200), 2, ""),
        ((503, 429, 200), 3, ""),
        ((0, 200), 2, ""),
        ((500, 502, 503, 200), 3, "the server answered 503"),
        ((404,), 1, "the server answered 404"),
        ((302,), 1, "the server answered 302"),
        ((0, 0, 0), 3, "no answer within 0.8 s"),
    ],
)
def test_what_may_help_is_tried_again(answers, attempts, warning, capsys):
    with receiving(*answers) as receiver:
        sent(receiver.url, {"text": "é"}, attempt=0.8 if 0 in answers else 5.0)
    assert receiver.documents == [{"text": "é"}] * attempts
    printed = capsys.readouterr().err
    assert printed == (f"warning: notify: a message was not sent: {warning}\n" if warning else "")


def test_nobody_waits_longer_than_stated(capsys):
    with receiving(0, 0, 0) as receiver:
        assert sent(receiver.url, {"text": ""}, wait=0.2, attempt=2.0) < 1.5
        assert capsys.readouterr().err == "warning: notify: not everything was sent within 0.2 s\n"
    for thread in threading.enumerate():
        if thread.name == "webhook":
            thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "name.invalid"])
def test_no_warning_shows_the_url(host, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sent(f"http://{host}:{closed.getsockname()[1]}{PATH}", {"text": ""})
    printed = capsys.readouterr().err
    assert printed.startswith("warning: notify: a message was not sent: ")
    assert printed.count("\n") == 1
    assert "secret" not in printed
    assert host not in printed


def test_documents_come_in_their_order():
    with receiving(500, 500, 500) as receiver:
        webhook = Webhook(receiver.url, pauses=(0.01,))
        for number in range(3):
            webhook.send({"number": number})
        webhook.close()
    assert [document["number"] for document in receiver.documents] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("url", ["http://h/x", "https://hooks.slack.com/services/T/B/x", "http://[::1]:80/"])
def test_a_url_that_can_be_sent_to(url):
    assert valid(url)
    assert is_slack(url) == ("slack" in url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.slack.com/x",
        "file:///etc/passwd",
        "http://",
        "http://h:99999/",
        "http://h/a b",
        "http://h/é",
    ],
)
def test_a_url_that_cannot(url):
    assert not valid(url)
