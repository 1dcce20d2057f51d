"""Fills the board with people, questions, answers and votes. Run again, it adds only what is missing."""
import io
import random

from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand
from django.db import transaction
from PIL import Image, ImageDraw

from questions.models import Answer, Question, Tag, Vote

PEOPLE = ["aqqaluk", "birgit", "chidi", "dolores", "emeka", "freya", "giulia", "hanako"]
OPENINGS = ["How do I", "Why does it help to", "When should one", "What is the best way to", "Is it wise to", "Who would ever"]
DEEDS = [
    ("navigate under sea ice", "ice"),
    ("serve uploads without waiting for slow clients", "python"),
    ("find a breathing hole in the dark", "ice"),
    ("write migrations that never lock a table", "django"),
    ("grow a tusk of three metres", "tusk"),
    ("dive to fifteen hundred metres", "diving"),
    ("keep sessions when the server restarts", "django"),
    ("tell a narwhal from a beluga at distance", "whales"),
    ("count whales from an aeroplane", "whales"),
    ("test code that sends mail", "python"),
]
PLACES = ["in winter", "in production", "with two processes", "near Baffin Bay", "for the first time", "on a small machine"]
BODIES = [
    "I have read what there is, and tried it on a quiet day. It works until somebody else joins in.\n\nWhat am I missing?",
    "My colleague swears by it. I would like to hear from somebody who has done it for longer than a season.",
    "The documentation has one sentence on this. Has anybody measured it?",
]
REPLIES = [
    "Start small: do it once by hand, write down each step, then let the machine do it.",
    "We did this for two years. Watch the queue, not the average; the rest follows.",
    "Short answer: yes, but only when the ice is thicker than your patience.",
    "Measure first. In our case the slow part was somewhere else entirely.",
]


def picture(chance):
    """A small drawing of a horizon, so that the board has uploads to show."""
    image = Image.new("RGB", (960, 540), (chance.randint(8, 30), chance.randint(60, 110), chance.randint(120, 170)))
    draw = ImageDraw.Draw(image)
    for row in range(12):
        top = 220 + row * 28
        points = [(x, top + chance.randint(-14, 14)) for x in range(0, 1000, 80)]
        shade = 90 + row * 13
        draw.polygon([*points, (960, 540), (0, 540)], fill=(shade - 60, shade, min(255, shade + 40)))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=82)
    return ContentFile(out.getvalue(), "horizon.jpg")


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("--questions", type=int, default=60, help="how many questions there shall be (60)")

    def handle(self, *args, questions, **options):
        chance = random.Random(1758)  # the year Linnaeus named Monodon monoceros: the same board every time
        users = get_user_model()
        people = []
        for name in PEOPLE:
            person, created = users.objects.get_or_create(username=name)
            if created:
                person.set_unusable_password()
                person.save()
            people.append(person)
        titles = [f"{a} {b} {c}?" for a in OPENINGS for b, _ in DEEDS for c in PLACES]
        topics = {b: topic for b, topic in DEEDS}
        chance.shuffle(titles)
        added = 0
        for number, title in enumerate(titles[:questions]):
            author, replies = chance.choice(people), chance.randint(0, 4)
            with transaction.atomic():
                question, created = Question.objects.get_or_create(
                    title=title, defaults={"author": author, "body": chance.choice(BODIES)}
                )
                if not created:
                    continue
                added += 1
                topic = next(topic for deed, topic in topics.items() if deed in title)
                question.tags.add(Tag.objects.get_or_create(name=topic)[0])
                if number % 6 == 0:
                    question.picture = picture(chance)
                question.answer_count = replies
                question.save()
                for _ in range(replies):
                    reply = Answer.objects.create(question=question, author=chance.choice(people), body=chance.choice(REPLIES))
                    for person in chance.sample(people, chance.randint(0, 4)):
                        Vote.toggle(person, reply)
                for person in chance.sample(people, chance.randint(0, len(people))):
                    Vote.toggle(person, question)
        self.stdout.write(f"{added} questions added, {Question.objects.count()} on the board.")
