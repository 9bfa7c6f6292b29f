"""The dogs: list, show, create, change."""

from flask import Blueprint, Response, request
from flask_login import current_user, login_required
from playhouse.shortcuts import model_to_dict

from answers import answer
from models import Dog

dogs = Blueprint("dogs", "dogs")


@dogs.get("")
def index() -> tuple[Response, int]:
    """The first dogs."""
    limit = request.args.get("limit", 50, int)
    return answer([model_to_dict(dog, recurse=False) for dog in Dog.select().order_by(Dog.id).limit(limit)])


@dogs.get("/<int:dog_id>")
def show(dog_id: int) -> tuple[Response, int]:
    """One dog."""
    dog = Dog.get_or_none(Dog.id == dog_id)
    if dog is None:
        return answer({}, 404, "There is no such dog")
    return answer(model_to_dict(dog, recurse=False))


@dogs.post("")
@login_required
def create() -> tuple[Response, int]:
    """Enter a dog."""
    dog = Dog.create(user_id=current_user.id, **request.get_json())
    return answer(model_to_dict(dog, recurse=False), 201)


@dogs.put("/<int:dog_id>")
@login_required
def update(dog_id: int) -> tuple[Response, int]:
    """Change a dog of one's own."""
    dog = Dog.get_or_none(Dog.id == dog_id)
    if dog is None:
        return answer({}, 404, "There is no such dog")
    if dog.creator_id != current_user.id:
        return answer({}, 403, "This dog is not yours")
    changes = request.get_json()
    Dog.update(**changes).where(Dog.id == dog_id).execute()
    return answer({**model_to_dict(dog, recurse=False), **changes})
