"""Dogs: anyone may read them; only the user who added one may change it."""

from __future__ import annotations

from typing import Any

from models import Dog
from models.search import search
from schemas import SORT_NAMES, DogInputSchema, DogQuerySchema, DogSchema, UpdateDogSchema

from ..http.conditional import if_match_version
from ..http.pagination import Page, paginate
from ..security.authentication import require_login, require_owner
from .base import Resource, gives, takes

SORT_COLUMNS = (Dog.id, Dog.name_key, Dog.breed_key, Dog.owner_key, Dog.created_at)
COLUMNS = {**dict(zip(SORT_NAMES, SORT_COLUMNS, strict=True)), "user_id": Dog.user, "mine": Dog.user}


class DogList(Resource):
    """`/api/v1/dogs`"""

    public = {"GET"}

    @gives(DogSchema, many=True)
    @takes(DogQuerySchema, "query")
    def get(self, query: dict[str, Any]) -> Page:
        """List dogs, one page at a time: all of them, those that match the filters, or your own.

        `page.next` is the `cursor` of the next page, and null on the last; the `Link` header has its URL. `mine`
        requires a login.
        """
        if query["mine"]:
            query["mine"] = require_login().id  # the user's id, so that the cursor is only valid for that user
        return paginate(Dog, COLUMNS, query, search)

    @gives(DogSchema, 201, etag=True, location="dogitem")
    @takes(DogInputSchema)
    def post(self, fields: dict[str, Any]) -> Dog:
        """Add a dog."""
        user = require_login()
        return Dog.create_for(user, **{"owner": user.username, **fields})


class DogItem(Resource):
    """`/api/v1/dogs/<id>`"""

    public = {"GET"}

    @gives(DogSchema, etag=True)
    def get(self, dog_id: int) -> Dog:
        """Get a dog."""
        return Dog.find(dog_id)

    @gives(DogSchema, etag=True, errors=(403, 412))
    @takes(DogInputSchema)
    def put(self, fields: dict[str, Any], dog_id: int) -> Dog:
        """Replace all fields of your dog."""
        dog = require_owner(Dog.find(dog_id))
        return dog.update_fields({"owner": require_login().username, **fields}, if_match_version(dog))

    @gives(DogSchema, etag=True, errors=(403, 412))
    @takes(UpdateDogSchema)
    def patch(self, fields: dict[str, Any], dog_id: int) -> Dog:
        """Change some fields of your dog."""
        dog = require_owner(Dog.find(dog_id))
        return dog.update_fields(fields, if_match_version(dog))

    @gives(DogSchema, etag=True, errors=(403, 412))
    def delete(self, dog_id: int) -> Dog:
        """Delete your dog. The response is the deleted dog."""
        dog = require_owner(Dog.find(dog_id))
        return dog.delete_row(if_match_version(dog))
