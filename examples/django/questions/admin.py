from django.contrib import admin

from .models import Answer, Question, Tag

admin.site.site_header = "Breathing Hole"


class AnswerInline(admin.StackedInline):
    model = Answer
    extra = 0
    raw_id_fields = ["author"]


@admin.register(Question)
class QuestionAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "score", "answer_count", "created"]
    list_filter = ["created", "tags"]
    list_select_related = ["author"]
    search_fields = ["title", "body"]
    raw_id_fields = ["author"]
    filter_horizontal = ["tags"]
    date_hierarchy = "created"
    inlines = [AnswerInline]


@admin.register(Answer)
class AnswerAdmin(admin.ModelAdmin):
    list_display = ["question", "author", "score", "created"]
    list_select_related = ["question", "author"]
    raw_id_fields = ["question", "author"]


admin.site.register(Tag)
