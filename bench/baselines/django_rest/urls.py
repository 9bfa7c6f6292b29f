"""URL routes."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from dogs.views import DogViewSet, LoginView, ProfileView

router = SimpleRouter(trailing_slash=False)
router.register("dogs", DogViewSet)

urlpatterns = [
    path("api/v1/", include(router.urls)),
    path("user/login", LoginView.as_view()),
    path("user/profile", ProfileView.as_view()),
]
