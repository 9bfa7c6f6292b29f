"""Serializers."""

from rest_framework import serializers

from .models import Dog, User


class DogSerializer(serializers.ModelSerializer):
    """A dog."""

    class Meta:
        model = Dog
        fields = ("id", "name", "owner", "breed", "created_at", "user_id")


class UserSerializer(serializers.ModelSerializer):
    """A user's own profile."""

    created_at = serializers.DateTimeField(source="date_joined")

    class Meta:
        model = User
        fields = ("id", "username", "email", "image", "created_at")


class LoginSerializer(serializers.Serializer):
    """Credentials."""

    username = serializers.CharField()
    password = serializers.CharField()
