from django.urls import path

from . import views

app_name = "questions"

urlpatterns = [
    path("", views.question_list, name="list"),
    path("ask/", views.ask, name="ask"),
    path("questions/<int:pk>/", views.question_detail, name="detail"),
    path("questions/<int:pk>/answer/", views.answer, name="answer"),
    path("questions/<int:pk>/vote/", views.vote_question, name="vote_question"),
    path("answers/<int:pk>/vote/", views.vote_answer, name="vote_answer"),
    path("answers/<int:pk>/accept/", views.accept, name="accept"),
    path("accounts/sign-up/", views.sign_up, name="sign_up"),
]
