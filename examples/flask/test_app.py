"""The guest book as its visitors use it."""
import pytest

import app as guestbook


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setattr(guestbook, "DATABASE", tmp_path / "guestbook.sqlite3")
    return guestbook.app.test_client()


def test_signing_shows_the_words_as_text(client):
    assert client.post("/", data={"name": "Freya", "words": "<b>Hello</b>"}).status_code == 303
    page = client.get("/").text
    assert "Freya" in page and "&lt;b&gt;Hello&lt;/b&gt;" in page


def test_empty_words_are_refused(client):
    assert client.post("/", data={"name": "Freya", "words": " "}).status_code == 422


def test_another_sites_form_is_refused(client):
    answer = client.post("/", data={"name": "a", "words": "b"}, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403


def test_healthz(client):
    assert client.get("/healthz").json == {"status": "pass"}
