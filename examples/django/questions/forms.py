from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import UserCreationForm

from .models import Answer, Question, Tag

PICTURE_LIMIT = 8 * 1024 * 1024
PICTURE_KINDS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif"}
TAG_LIMIT = 5


class SignUpForm(UserCreationForm):
    class Meta(UserCreationForm.Meta):
        model = get_user_model()
        fields = ["username"]


class QuestionForm(forms.ModelForm):
    tag_names = forms.CharField(
        label="Tags", required=False, max_length=120, help_text=f"Up to {TAG_LIMIT}, separated by commas."
    )

    class Meta:
        model = Question
        fields = ["title", "body", "picture"]
        widgets = {
            "title": forms.TextInput(attrs={"placeholder": "What do you want to know?", "autofocus": True}),
            "body": forms.Textarea(attrs={"rows": 10}),
            "picture": forms.ClearableFileInput(attrs={"accept": "image/jpeg,image/png,image/webp,image/gif"}),
        }
        help_texts = {"picture": "JPEG, PNG, WebP or GIF, at most 8 MB."}

    def clean_picture(self):
        picture = self.cleaned_data.get("picture")
        opened = getattr(picture, "image", None)  # set by ImageField: Pillow has read and verified it
        if opened is None:
            return picture
        if opened.format not in PICTURE_KINDS:
            raise forms.ValidationError("Send a JPEG, PNG, WebP or GIF.")
        if picture.size > PICTURE_LIMIT:
            raise forms.ValidationError("The picture is larger than 8 MB.")
        # Named after what it is, not after what it says it is: the suffix decides how it is served.
        picture.name = "picture" + PICTURE_KINDS[opened.format]
        return picture

    def clean_tag_names(self):
        names = {" ".join(name.lower().split()) for name in self.cleaned_data["tag_names"].split(",")} - {""}
        if len(names) > TAG_LIMIT:
            raise forms.ValidationError(f"At most {TAG_LIMIT} tags.")
        if any(len(name) > 30 for name in names):
            raise forms.ValidationError("A tag has at most 30 characters.")
        return sorted(names)

    def save(self, commit=True):
        question = super().save(commit)
        if commit:
            question.tags.set([Tag.objects.get_or_create(name=name)[0] for name in self.cleaned_data["tag_names"]])
        return question


class AnswerForm(forms.ModelForm):
    class Meta:
        model = Answer
        fields = ["body"]
        labels = {"body": "Your answer"}
        widgets = {"body": forms.Textarea(attrs={"rows": 6})}
