from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import F, Q
from django.http import HttpResponseForbidden
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .forms import AnswerForm, QuestionForm, SignUpForm
from .models import Answer, Question, Tag, Vote

PAGE = 15
ORDERS = {"new": ["-created", "-id"], "top": ["-score", "-id"], "open": ["-created", "-id"]}


@require_safe
def question_list(request):
    order = request.GET.get("order", "new")
    if order not in ORDERS:
        order = "new"
    questions = Question.objects.select_related("author").prefetch_related("tags").order_by(*ORDERS[order])
    if order == "open":
        questions = questions.filter(answer_count=0)
    words = request.GET.get("q", "").strip()[:100]
    for word in words.split():
        questions = questions.filter(Q(title__icontains=word) | Q(body__icontains=word))
    tag = request.GET.get("tag", "")[:30]
    if tag:
        questions = questions.filter(tags__name=tag)
    page = Paginator(questions, PAGE).get_page(request.GET.get("page"))
    kept = request.GET.copy()
    kept.pop("page", None)
    return render(
        request,
        "questions/list.html",
        {"page": page, "words": words, "tag": tag, "order": order, "kept": kept.urlencode(), "tags": Tag.objects.all()[:20]},
    )


@require_safe
def question_detail(request, pk):
    return _detail(request, get_object_or_404(Question.objects.select_related("author"), pk=pk), AnswerForm())


def _detail(request, question, form, status=200):
    voted_answers, voted = set(), False
    if request.user.is_authenticated:
        mine = Vote.objects.filter(user=request.user).filter(Q(question=question) | Q(answer__question=question))
        for vote in mine:
            if vote.question_id:
                voted = True
            else:
                voted_answers.add(vote.answer_id)
    context = {
        "question": question,
        "answers": question.answers.select_related("author"),
        "voted": voted,
        "voted_answers": voted_answers,
        "form": form,
    }
    return render(request, "questions/detail.html", context, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request):
    form = QuestionForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        form.instance.author = request.user
        with transaction.atomic():
            question = form.save()
        messages.success(request, "Your question is up for air.")
        return redirect(question)
    return render(request, "questions/ask.html", {"form": form}, status=422 if form.errors else 200)


@login_required
@require_POST
def answer(request, pk):
    question = get_object_or_404(Question, pk=pk)
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return _detail(request, question, form, status=422)
    form.instance.author = request.user
    form.instance.question = question
    with transaction.atomic():
        given = form.save()
        Question.objects.filter(pk=pk).update(answer_count=F("answer_count") + 1)
    messages.success(request, "Thank you for your answer.")
    return redirect(given)


@login_required
@require_POST
def vote_question(request, pk):
    question = get_object_or_404(Question, pk=pk)
    with transaction.atomic():
        Vote.toggle(request.user, question)
    return redirect(question)


@login_required
@require_POST
def vote_answer(request, pk):
    given = get_object_or_404(Answer.objects.select_related("question"), pk=pk)
    with transaction.atomic():
        Vote.toggle(request.user, given)
    return redirect(given)


@login_required
@require_POST
def accept(request, pk):
    given = get_object_or_404(Answer.objects.select_related("question"), pk=pk)
    if given.question.author_id != request.user.id:
        return HttpResponseForbidden("Only who asked can accept an answer.")
    Question.objects.filter(pk=given.question_id).update(accepted=None if given.question.accepted_id == pk else given)
    return redirect(given)


@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request):
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.save())
        messages.success(request, "Welcome.")
        return redirect("questions:list")
    return render(request, "registration/sign_up.html", {"form": form}, status=422 if form.errors else 200)
