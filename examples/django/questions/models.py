"""Questions, answers and votes. Counts are kept beside what they count, so that a list is one query."""
import secrets
from pathlib import PurePath

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse


def picture_path(question, filename):
    """A name that says nothing and cannot be guessed; only the kind of file is kept."""
    suffix = PurePath(filename).suffix.lower()
    return f"questions/{secrets.token_urlsafe(12)}{suffix}"


class Tag(models.Model):
    name = models.CharField(max_length=30, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class Question(models.Model):
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="questions")
    title = models.CharField(max_length=150)
    body = models.TextField(max_length=20_000)
    picture = models.ImageField(upload_to=picture_path, blank=True, width_field="picture_width", height_field="picture_height")
    picture_width = models.PositiveIntegerField(null=True, editable=False)
    picture_height = models.PositiveIntegerField(null=True, editable=False)
    tags = models.ManyToManyField(Tag, blank=True, related_name="questions")
    score = models.IntegerField(default=0, editable=False)
    answer_count = models.PositiveIntegerField(default=0, editable=False)
    accepted = models.ForeignKey("Answer", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [models.Index(fields=["-created", "-id"]), models.Index(fields=["-score", "-id"])]

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        return reverse("questions:detail", args=[self.pk])


class Answer(models.Model):
    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="answers")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="answers")
    body = models.TextField(max_length=20_000)
    score = models.IntegerField(default=0, editable=False)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-score", "created", "id"]

    def __str__(self):
        return f"Answer {self.pk} to “{self.question}”"

    def get_absolute_url(self):
        return f"{self.question.get_absolute_url()}#answer-{self.pk}"


class Vote(models.Model):
    """One voice of one person for one question or one answer; given again, it is taken back."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="votes")
    question = models.ForeignKey(Question, on_delete=models.CASCADE, null=True, related_name="votes")
    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, null=True, related_name="votes")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "question"], name="one_vote_a_question", condition=Q(question__isnull=False)),
            models.UniqueConstraint(fields=["user", "answer"], name="one_vote_an_answer", condition=Q(answer__isnull=False)),
            models.CheckConstraint(
                name="vote_for_one_thing",
                condition=Q(question__isnull=False, answer__isnull=True) | Q(question__isnull=True, answer__isnull=False),
            ),
        ]

    def __str__(self):
        return f"{self.user} for {self.question or self.answer}"

    @classmethod
    def toggle(cls, user, target):
        """Gives or takes back; to be called inside a transaction. Returns whether it is given now."""
        kind = "question" if isinstance(target, Question) else "answer"
        vote, created = cls.objects.get_or_create(user=user, **{kind: target})
        if not created:
            vote.delete()
        type(target).objects.filter(pk=target.pk).update(score=F("score") + (1 if created else -1))
        return created
