"""Who may do what."""

from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class CookieAuthentication(SessionAuthentication):
    """Django's sessions. Who has none is answered 401, where the framework would say 403."""

    def authenticate_header(self, request: Request) -> str:
        """What the client is asked for."""
        return "Session"


class IsCreatorOrReadOnly(BasePermission):
    """A dog is changed by the user who has entered it."""

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """Whether this user may do this to this dog."""
        return request.method in SAFE_METHODS or obj.user_id == request.user.pk
