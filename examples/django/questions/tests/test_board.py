"""The board as its visitors use it."""
import io
import re

from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client, TestCase
from django.urls import reverse
from PIL import Image

from questions.models import Answer, Question, Vote


def png(name="drawing.png"):
    out = io.BytesIO()
    Image.new("RGB", (12, 8), "teal").save(out, "PNG")
    return SimpleUploadedFile(name, out.getvalue(), content_type="image/png")


class Board(TestCase):
    def setUp(self):
        self.user = get_user_model().objects.create_user("freya", password="deep-water-9")
        self.other = get_user_model().objects.create_user("chidi", password="deep-water-9")
        self.question = Question.objects.create(author=self.other, title="How deep is it?", body="I have no rope.")

    def test_the_list_finds_by_words_and_survives_odd_pages(self):
        Question.objects.create(author=self.user, title="Where is the ice?", body="Gone.")
        found = self.client.get("/", {"q": "rope"})
        self.assertContains(found, "How deep is it?")
        self.assertNotContains(found, "Where is the ice?")
        self.assertEqual(self.client.get("/", {"page": "9999", "order": "' OR 1"}).status_code, 200)

    def test_pages_hold_fifteen_and_keep_the_search(self):
        for number in range(20):
            Question.objects.create(author=self.user, title=f"Whale {number}", body="?")
        first = self.client.get("/", {"q": "whale"})
        self.assertEqual(first.content.count(b'class="card row"'), 15)
        self.assertContains(first, "?q=whale&amp;page=2")

    def test_asking_needs_an_account_and_leads_back(self):
        answer = self.client.get(reverse("questions:ask"))
        self.assertRedirects(answer, "/accounts/login/?next=/ask/")

    def test_ask_with_a_picture_and_tags(self):
        self.client.force_login(self.user)
        self.client.post("/ask/", {"title": "Seen this?", "body": "A tusk.", "picture": png(), "tag_names": "Ice,  tusk , ice"})
        asked = Question.objects.get(title="Seen this?")
        self.assertEqual([tag.name for tag in asked.tags.all()], ["ice", "tusk"])
        self.assertEqual((asked.picture_width, asked.picture_height), (12, 8))
        self.assertContains(self.client.get(asked.get_absolute_url()), asked.picture.url)

    def test_a_picture_is_named_by_what_it_is(self):
        self.client.force_login(self.user)
        self.client.post("/ask/", {"title": "Odd name", "body": "?", "picture": png("page.gif")})
        self.assertTrue(Question.objects.get(title="Odd name").picture.name.endswith(".png"))
        page = SimpleUploadedFile("page.png", b"<script>alert(1)</script>", content_type="image/png")
        refused = self.client.post("/ask/", {"title": "No picture", "body": "?", "picture": page})
        self.assertEqual(refused.status_code, 422)

    def test_answer_and_accept(self):
        self.client.force_login(self.user)
        self.client.post(f"/questions/{self.question.pk}/answer/", {"body": "Very <b>deep</b>."})
        given = Answer.objects.get()
        self.question.refresh_from_db()
        self.assertEqual(self.question.answer_count, 1)
        self.assertContains(self.client.get(self.question.get_absolute_url()), "Very &lt;b&gt;deep&lt;/b&gt;.")
        self.assertEqual(self.client.post(f"/answers/{given.pk}/accept/").status_code, 403)
        self.client.force_login(self.other)
        self.client.post(f"/answers/{given.pk}/accept/")
        self.question.refresh_from_db()
        self.assertEqual(self.question.accepted, given)

    def test_a_vote_counts_once_and_can_be_taken_back(self):
        self.client.force_login(self.user)
        for expected in (1, 0, 1):
            self.client.post(f"/questions/{self.question.pk}/vote/")
            self.question.refresh_from_db()
            self.assertEqual((self.question.score, Vote.objects.count()), (expected, expected))

    def test_sign_up_logs_in(self):
        fields = {"username": "new", "password1": "tusk-and-tide-3", "password2": "tusk-and-tide-3"}
        self.assertRedirects(self.client.post("/accounts/sign-up/", fields), "/")
        self.assertContains(self.client.get("/"), "Log out")

    def test_forms_are_guarded(self):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(self.user)
        self.assertEqual(strict.post(f"/questions/{self.question.pk}/vote/").status_code, 403)
        page = strict.get("/ask/").content.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        asked = strict.post("/ask/", {"title": "Guarded?", "body": "Yes.", "csrfmiddlewaretoken": token})
        self.assertEqual(asked.status_code, 302)

    def test_healthz_asks_database_and_cache(self):
        self.assertEqual(self.client.get("/healthz").json()["checks"], {"database": "pass", "cache": "pass"})

    def test_seed_can_be_run_again(self):
        call_command("seed", questions=12, stdout=io.StringIO())
        before = (Question.objects.count(), Answer.objects.count(), Vote.objects.count())
        call_command("seed", questions=12, stdout=io.StringIO())
        self.assertEqual(before, (Question.objects.count(), Answer.objects.count(), Vote.objects.count()))
        for question in Question.objects.all():
            self.assertEqual(question.score, question.votes.count())
            self.assertEqual(question.answer_count, question.answers.count())
