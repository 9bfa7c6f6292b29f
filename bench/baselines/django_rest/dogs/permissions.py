"""Authentication and permissions."""

from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class CookieAuthentication(SessionAuthentication):
    """Session authentication that responds to anonymous requests with 401 instead of 403."""

    def authenticate_header(self, request: Request) -> str:
        """Return the value of `WWW-Authenticate`."""
        return "Session"


class IsCreatorOrReadOnly(BasePermission):
    """Only the user who created a dog may change it."""

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """Return whether the request is a read or comes from the creator."""
        return request.method in SAFE_METHODS or obj.user_id == request.user.pk
