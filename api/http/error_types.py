"""The kinds of errors that clients meet, in one table: `errors.py` answers by it, and `/errors/<type>` explains it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorType:
    """One kind of error. `meaning`, `cause`, `httpie` and `fetch` are what its page says."""

    slug: str
    status: int
    title: str
    meaning: str
    cause: str
    httpie: str
    fetch: str

    @property
    def path(self) -> str:
        """The stable path that names this kind in `error.type`."""
        return f"/errors/{self.slug}"


LOGIN_HTTPIE = "http --session=anna :8000/user/login email=anna@example.com password='...'"
LOGIN_FETCH = """await fetch("http://localhost:8000/user/login", {
  method: "POST",
  credentials: "include",
  headers: {"Content-Type": "application/json"},
  body: JSON.stringify({email, password}),
})"""
JSON_HTTPIE = "http --session=anna :8000/api/v1/dogs name=Rex breed=Poodle"
JSON_FETCH = """await fetch("http://localhost:8000/api/v1/dogs", {
  method: "POST",
  credentials: "include",
  headers: {"Content-Type": "application/json"},
  body: JSON.stringify({name: "Rex", breed: "Poodle"}),
})"""
WAIT_FETCH = """const response = await fetch(url, options)
if (response.headers.has("Retry-After")) {
  const seconds = Number(response.headers.get("Retry-After"))
  setTimeout(tryAgain, seconds * 1000)
}"""

ERROR_TYPES = {
    kind.slug: kind
    for kind in (
        ErrorType(
            "bad-request", 400, "The request can't be read",
            "The server could not make sense of the request, so it did nothing.",
            "A JSON body that is empty or broken: a comma too many, a missing quote, text that is not UTF-8.",
            JSON_HTTPIE, JSON_FETCH,
        ),
        ErrorType(
            "unauthorized", 401, "You are not logged in",
            "This call is for users who are logged in, and nobody is logged in by this request.",
            "The cookie was not sent (a fetch without credentials: \"include\"), the session has ended, "
            "or the name, the address or the password is wrong.",
            LOGIN_HTTPIE, LOGIN_FETCH,
        ),
        ErrorType(
            "forbidden", 403, "You may not do this",
            "The server knows who you are, and you are not the one who may do this.",
            "The dog belongs to another account, or the current password that you sent is wrong.",
            "http :8000/api/v1/dogs/1    # user_id is the account that may change it", JSON_FETCH,
        ),
        ErrorType(
            "cross-site", 403, "This web page may not use the API",
            "A browser sent this request from a web page of an origin that the server does not know.",
            "The page's origin is missing from the setting CORS_ORIGINS. http://localhost:3000 and "
            "http://127.0.0.1:3000 are two different origins.",
            "http :8000/api/v1/dogs    # httpie is no browser and is never stopped by this",
            "// On the server: CORS_ORIGINS=http://localhost:3000,https://www.example.com make run",
        ),
        ErrorType(
            "not-found", 404, "There is nothing here",
            "No page, user, dog or picture has this address.",
            "A typing error in the path, an id that was never given, or something that has been deleted.",
            "http :8000/api/v1/dogs", 'await fetch("http://localhost:8000/api/v1/dogs")',
        ),
        ErrorType(
            "method-not-allowed", 405, "This address does not take that method",
            "The address exists, but not for this verb. The Allow header lists the verbs it takes.",
            "A GET where a POST was meant, such as opening /user/login in a browser.",
            LOGIN_HTTPIE, LOGIN_FETCH,
        ),
        ErrorType(
            "conflict", 409, "Somebody else has it",
            "A value that may exist only once is taken.",
            "Another account has this username or this e-mail address; upper and lower case do not matter. "
            "Or something that you refer to was deleted at this very moment.",
            "http --session=anna PATCH :8000/user/profile username=anna2",
            """await fetch("http://localhost:8000/user/profile", {
  method: "PATCH",
  credentials: "include",
  headers: {"Content-Type": "application/json"},
  body: JSON.stringify({username: "anna2"}),
})""",
        ),
        ErrorType(
            "precondition-failed", 412, "It has changed in the meantime",
            "You asked to write only if nothing has changed, by If-Match, and something has changed.",
            "Somebody, perhaps you in another window, has saved it since you read it.",
            "http :8000/api/v1/dogs/1    # read it again, then write with If-Match and its new ETag",
            """const fresh = await fetch(url)
await fetch(url, {
  method: "PATCH",
  credentials: "include",
  headers: {"Content-Type": "application/json", "If-Match": fresh.headers.get("ETag")},
  body: JSON.stringify({name: "Rex"}),
})""",
        ),
        ErrorType(
            "too-large", 413, "That is too much",
            "The body of the request is larger than the server takes.",
            "A picture over 10 MiB, or another body over 64 KiB.",
            "http --session=anna --form PUT :8000/user/picture file@photo.jpg    # at most 10 MiB",
            "if (file.size > 10 * 1024 * 1024) alert(\"Please choose a smaller picture.\")",
        ),
        ErrorType(
            "unsupported-media-type", 415, "The body is of a type that is not read here",
            "The Content-Type header names a format that this call does not read, or there is none.",
            "A fetch with a string as its body and no Content-Type header.",
            JSON_HTTPIE, JSON_FETCH,
        ),
        ErrorType(
            "validation", 422, "Some fields are wrong",
            "The request was read, but some of its fields can't be taken. error.fields names each of them "
            "and says what to change.",
            "A missing field, a value that is too long, a field that does not exist, or a file that is no picture.",
            JSON_HTTPIE,
            """const {error} = await response.json()
for (const [field, messages] of Object.entries(error?.fields ?? {})) {
  showAt(field, messages)
}""",
        ),
        ErrorType(
            "too-many-requests", 429, "Too often",
            "You have tried this too often. The Retry-After header says in how many seconds to try again.",
            "Too many wrong passwords, or too many registrations from one address.",
            "http --headers :8000/user/login email=anna@example.com password='...'    # look at Retry-After, and wait",
            WAIT_FETCH,
        ),
        ErrorType(
            "internal", 500, "The server made a mistake",
            "Something went wrong that is not your fault.",
            "A bug. The log of the server tells more, under the request id of the answer.",
            "http :8000/health/live", 'console.log(response.headers.get("X-Request-ID"))',
        ),
        ErrorType(
            "unavailable", 503, "Busy",
            "The server can't do this right now. Retry-After says in how many seconds to try again.",
            "The database or the place of the pictures can't be reached, or many people are logging in at this moment.",
            "http :8000/health/live", WAIT_FETCH,
        ),
        ErrorType(
            "insufficient-storage", 507, "There is no room left",
            "The server has no room to store what you sent, so nothing of it was kept.",
            "The disk of the database or of the pictures is full. Reading goes on; whoever runs the server has to make "
            "room, then it works again.",
            "http :8000/api/v1/dogs    # reading goes on",
            """const response = await fetch(url, options)
if (response.status === 507) {
  alert("The server is full. Please try again later.")
}""",
        ),
    )
}  # fmt: skip
