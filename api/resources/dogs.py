"""Dogs: anyone may look; who creates one may change it."""

from __future__ import annotations

from models import Dog
from models.search import search
from schemas import SORT_NAMES, DogInputSchema, DogQuerySchema, DogSchema, UpdateDogSchema

from ..http.conditional import if_match_version
from ..http.pagination import paginate
from ..security.authentication import require_login, require_owner
from .base import Resource, gives, takes

COLUMNS = (Dog.id, Dog.name_key, Dog.breed_key, Dog.owner_key, Dog.created_at)
SORTS = dict(zip(SORT_NAMES, COLUMNS, strict=True))
OWNERS = {"user_id": Dog.user, "mine": Dog.user}


class DogList(Resource):
    """`/api/v1/dogs`"""

    public = {"GET"}

    @gives(DogSchema, many=True)
    @takes(DogQuerySchema, "query")
    def get(self, query):
        """List dogs, a page at a time: all of them, those with these texts, or your own.

        `page.next` is the `cursor` of the next page, and null on the last; `Link` holds its whole URL. `mine` needs
        a login.
        """
        if query["mine"]:
            query["mine"] = require_login().id  # whose list it is, for the cursor too
        return paginate(Dog.select, SORTS | OWNERS, query, search)

    @gives(DogSchema, 201)
    @takes(DogInputSchema)
    def post(self, fields):
        """Add a dog.

        `Location` is its URL, and `ETag` its version.
        """
        user = require_login()
        return Dog.create_for(user, **{"owner": user.username, **fields})


class DogItem(Resource):
    """`/api/v1/dogs/<id>`"""

    public = {"GET"}

    @gives(DogSchema)
    def get(self, dog_id):
        """Show a dog.

        `ETag` is its version; 304 where `If-None-Match` names it.
        """
        return Dog.find(dog_id)

    @gives(DogSchema)
    @takes(DogInputSchema)
    def put(self, fields, dog_id):
        """Replace all fields of your dog.

        `ETag` is its new version; 403 for a dog of another user, 412 where `If-Match` names an old version.
        """
        dog = require_owner(Dog.find(dog_id))
        return dog.update_fields({"owner": require_login().username, **fields}, if_match_version(dog))

    @gives(DogSchema)
    @takes(UpdateDogSchema)
    def patch(self, fields, dog_id):
        """Change some fields of your dog.

        `ETag` is its new version; 403 for a dog of another user, 412 where `If-Match` names an old version.
        """
        dog = require_owner(Dog.find(dog_id))
        return dog.update_fields(fields, if_match_version(dog))

    @gives(DogSchema)
    def delete(self, dog_id):
        """Delete your dog, and see it once more.

        403 for a dog of another user, 412 where `If-Match` names an old version.
        """
        dog = require_owner(Dog.find(dog_id))
        return dog.delete_row(if_match_version(dog))
