"""One-time sign-in links: no default password exists, the operator's terminal shows a link instead."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods


class OneTimeTokens(PasswordResetTokenGenerator):
    """Tokens that die with the first sign-in: the hash covers `last_login`."""

    key_salt = "config.signin.OneTimeTokens"


tokens = OneTimeTokens()


def one_time_path(user: User) -> str:
    """Return the path that signs `user` in once, until the next sign-in or for `PASSWORD_RESET_TIMEOUT`."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("one-time-sign-in", args=[uid, tokens.make_token(user)])


def _user_of(uid: str) -> User | None:
    try:
        pk: Any = urlsafe_base64_decode(uid).decode()
        return get_user_model().objects.get(pk=pk, is_active=True)
    except (ValueError, OverflowError, UnicodeDecodeError, User.DoesNotExist):
        return None


@never_cache
@require_http_methods(["GET", "POST"])
def one_time_sign_in(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Show the button (GET changes nothing: mail and chat programs fetch links) and sign in (POST)."""
    user = _user_of(uid)
    if user is None or not tokens.check_token(user, token):
        return render(request, "registration/one_time_invalid.html", status=410)
    if request.method == "GET":
        return render(request, "registration/one_time.html", {"username": user.get_username()})
    login(request, user)
    return redirect("marketing:home")
