"""What comes in and goes out."""

from rest_framework import serializers

from .models import Dog, User


class DogSerializer(serializers.ModelSerializer):
    """A dog."""

    class Meta:
        model = Dog
        fields = ("id", "name", "owner", "breed", "created_at", "user_id")


class UserSerializer(serializers.ModelSerializer):
    """A user, as this user sees it."""

    created_at = serializers.DateTimeField(source="date_joined")

    class Meta:
        model = User
        fields = ("id", "username", "email", "image", "created_at")


class LoginSerializer(serializers.Serializer):
    """Who wants to log in."""

    username = serializers.CharField()
    password = serializers.CharField()
