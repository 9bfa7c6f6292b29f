"""Views."""

from django.contrib.auth import authenticate, login
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.generics import RetrieveAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated, IsAuthenticatedOrReadOnly
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from .models import Dog, User
from .permissions import IsCreatorOrReadOnly
from .serializers import DogSerializer, LoginSerializer, UserSerializer


class DogViewSet(ModelViewSet):
    """CRUD of dogs."""

    queryset = Dog.objects.order_by("id")
    serializer_class = DogSerializer
    permission_classes = (IsAuthenticatedOrReadOnly, IsCreatorOrReadOnly)

    def perform_create(self, serializer: BaseSerializer) -> None:
        """Set the creator."""
        serializer.save(user=self.request.user)


class LoginView(APIView):
    """Login, which sets the session and CSRF cookies."""

    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        """Log in with username and password."""
        serializer = LoginSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = authenticate(request, **serializer.validated_data)
        if user is None:
            raise AuthenticationFailed
        login(request, user)
        return Response(UserSerializer(user).data)


class ProfileView(RetrieveAPIView):
    """The profile of the current user."""

    permission_classes = (IsAuthenticated,)
    serializer_class = UserSerializer

    def get_object(self) -> User:
        """Return the current user."""
        return self.request.user
