"""All error types, by slug: `errors.py` looks up status and title here, and `/errors/<slug>` shows the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorType:
    """A type of error. Its page shows `meaning` and `cause`, and examples for httpie and fetch.

    The texts fit any resource, and their URLs are replaced by `PUBLIC_URL`.
    """

    slug: str
    status: int
    title: str
    meaning: str
    cause: str
    httpie: str
    fetch: str

    @property
    def path(self) -> str:
        """The stable path in `error.type`."""
        return f"/errors/{self.slug}"


LOGIN_HTTPIE = "http --session=anna :8000/user/login email=anna@example.com password='...'"
LOGIN_FETCH = """await fetch("http://localhost:8000/user/login", {
  method: "POST",
  credentials: "include",
  headers: {"Content-Type": "application/json"},
  body: JSON.stringify({email, password}),
})"""
JSON_HTTPIE = "http --session=anna PATCH :8000/user/profile username=Anna"
JSON_FETCH = """await fetch("http://localhost:8000/user/profile", {
  method: "PATCH",
  credentials: "include",
  headers: {"Content-Type": "application/json"},
  body: JSON.stringify({username: "Anna"}),
})"""
RETRY_FETCH = """const response = await fetch(url, options)
if (response.headers.has("Retry-After")) {
  const seconds = Number(response.headers.get("Retry-After"))
  setTimeout(retry, seconds * 1000)
}"""

ERROR_TYPES = {
    kind.slug: kind
    for kind in (
        ErrorType(
            "bad-request", 400, "Bad request",
            "The request is malformed, so the server did not process it.",
            "An empty or invalid JSON body: a trailing comma, a missing quote, text that is not UTF-8.",
            JSON_HTTPIE, JSON_FETCH,
        ),
        ErrorType(
            "unauthorized", 401, "Unauthorized",
            "This request requires a login, and has no valid credentials.",
            "The cookie was not sent (fetch without credentials: \"include\"), the session or token has expired, "
            "or the username, the email address or the password is wrong.",
            LOGIN_HTTPIE, LOGIN_FETCH,
        ),
        ErrorType(
            "forbidden", 403, "Forbidden",
            "You are logged in, but you are not allowed to do this.",
            "The resource belongs to another user, or the current password that you sent is wrong.",
            "http --session=anna :8000/user/profile    # compare its id with the user_id of the resource",
            """const response = await fetch("http://localhost:8000/user/profile", {credentials: "include"})
const {data: user} = await response.json()
const mayEdit = resource.user_id === user.id""",
        ),
        ErrorType(
            "cross-site", 403, "Cross-origin request refused",
            "CSRF protection: a browser sent this request from a page whose origin the server does not trust.",
            "The page's origin is missing from the setting CORS_ORIGINS. http://localhost:3000 and "
            "http://127.0.0.1:3000 are two different origins.",
            "http POST :8000/user/logout    # not a browser: no Origin header, so CORS and CSRF do not apply",
            "// On the server: CORS_ORIGINS=http://localhost:3000,https://www.example.com make run",
        ),
        ErrorType(
            "not-found", 404, "Not found",
            "Nothing exists at this URL.",
            "A typo in the path, an id that does not exist, or a resource that has been deleted.",
            "http :8000/openapi.json    # lists every path",
            """const response = await fetch("http://localhost:8000/openapi.json")
console.log(Object.keys((await response.json()).paths))""",
        ),
        ErrorType(
            "method-not-allowed", 405, "Method not allowed",
            "This URL does not support the method. The Allow header lists the methods that it supports.",
            "A GET instead of a POST, such as opening /user/login in a browser.",
            LOGIN_HTTPIE, LOGIN_FETCH,
        ),
        ErrorType(
            "conflict", 409, "Conflict",
            "A unique value is already taken, or a referenced record no longer exists.",
            "Another account has this username or email address (upper and lower case are the same), or a concurrent "
            "request deleted a record that this one refers to.",
            "http --session=anna PATCH :8000/user/profile username=anna2",
            JSON_FETCH.replace('"Anna"', '"anna2"'),
        ),
        ErrorType(
            "precondition-failed", 412, "Precondition failed",
            "The request had an If-Match header, and the resource was modified in the meantime.",
            "Someone else, or you in another window, has saved it since you fetched it.",
            "http :8000/path/of/the/resource    # fetch it again, then write with If-Match and its new ETag",
            """const fresh = await fetch(url)
await fetch(url, {
  method: "PATCH",
  credentials: "include",
  headers: {"Content-Type": "application/json", "If-Match": fresh.headers.get("ETag")},
  body: JSON.stringify(changes),
})""",
        ),
        ErrorType(
            "too-large", 413, "Payload too large",
            "The request body exceeds the limit.",
            "An upload over 10 MiB, or another body over 64 KiB.",
            "http --session=anna --form PUT :8000/user/picture file@photo.jpg    # at most 10 MiB",
            "if (file.size > 10 * 1024 * 1024) alert(\"Please choose a smaller file.\")",
        ),
        ErrorType(
            "unsupported-media-type", 415, "Unsupported media type",
            "The server does not accept a body of this content type here.",
            "A missing or wrong Content-Type header, such as that of fetch with a string as the body.",
            JSON_HTTPIE, JSON_FETCH,
        ),
        ErrorType(
            "validation", 422, "Validation failed",
            "The request was parsed, but some fields are invalid. error.fields maps each of them to its messages.",
            "A missing or unknown field, a value that is too long, or a file that is not an image.",
            JSON_HTTPIE,
            """const {error} = await response.json()
for (const [field, messages] of Object.entries(error?.fields ?? {})) {
  showBeside(field, messages)
}""",
        ),
        ErrorType(
            "too-many-requests", 429, "Too many requests",
            "You have exceeded a rate limit. The Retry-After header is the number of seconds to wait.",
            "Too many wrong passwords, or too many registrations from one IP address.",
            "http --headers :8000/user/login email=anna@example.com password='...'    # see Retry-After",
            RETRY_FETCH,
        ),
        ErrorType(
            "internal", 500, "Internal server error",
            "The server failed to process the request. This is not your fault.",
            "A bug. The server's log has the details, under the X-Request-ID of the response.",
            "http :8000/health/live", 'console.log(response.headers.get("X-Request-ID"))',
        ),
        ErrorType(
            "unavailable", 503, "Service unavailable",
            "The server cannot process the request right now. The Retry-After header is the number of seconds to wait.",
            "The database or the storage of uploads is unreachable, or too many requests are waiting.",
            "http :8000/health/ready", RETRY_FETCH,
        ),
        ErrorType(
            "insufficient-storage", 507, "Insufficient storage",
            "The server has no disk space left, so nothing was stored.",
            "The disk of the database or of the uploads is full. Reads still work; the administrator must free space.",
            "http :8000/openapi.json    # reads still work",
            """const response = await fetch(url, options)
if (response.status === 507) {
  alert("The server is full. Please try again later.")
}""",
        ),
    )
}  # fmt: skip
