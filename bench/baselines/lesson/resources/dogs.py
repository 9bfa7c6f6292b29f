"""The dogs: list, show, create, change."""

from flask import Blueprint, Response, request
from flask_login import current_user, login_required
from playhouse.shortcuts import model_to_dict

from models import Dog
from responses import respond

dogs = Blueprint("dogs", "dogs")


@dogs.get("")
def index() -> tuple[Response, int]:
    """List the first dogs."""
    limit = request.args.get("limit", 50, int)
    return respond([model_to_dict(dog, recurse=False) for dog in Dog.select().order_by(Dog.id).limit(limit)])


@dogs.get("/<int:dog_id>")
def show(dog_id: int) -> tuple[Response, int]:
    """Show a dog."""
    dog = Dog.get_or_none(Dog.id == dog_id)
    if dog is None:
        return respond({}, 404, "Dog not found")
    return respond(model_to_dict(dog, recurse=False))


@dogs.post("")
@login_required
def create() -> tuple[Response, int]:
    """Create a dog."""
    dog = Dog.create(user_id=current_user.id, **request.get_json())
    return respond(model_to_dict(dog, recurse=False), 201)


@dogs.put("/<int:dog_id>")
@login_required
def update(dog_id: int) -> tuple[Response, int]:
    """Change a dog of the current user."""
    dog = Dog.get_or_none(Dog.id == dog_id)
    if dog is None:
        return respond({}, 404, "Dog not found")
    if dog.creator_id != current_user.id:
        return respond({}, 403, "This dog belongs to another user")
    changes = request.get_json()
    Dog.update(**changes).where(Dog.id == dog_id).execute()
    return respond({**model_to_dict(dog, recurse=False), **changes})
