"""Users and dogs."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone


class User(AbstractUser):
    """Django's user, with a picture."""

    image = models.CharField(max_length=255)


class Dog(models.Model):
    """A dog, its owner, and the user who created it."""

    name = models.CharField(max_length=80)
    owner = models.CharField(max_length=80)
    breed = models.CharField(max_length=80)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="dogs")

    def __str__(self) -> str:
        """Return the name."""
        return self.name
