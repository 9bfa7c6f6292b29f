"""The application."""

import os

from flask import Flask, Response, g
from flask_cors import CORS
from flask_login import LoginManager

import models
from resources.dogs import dogs
from resources.users import bcrypt, users
from responses import JSONProvider, respond

ORIGINS = ["http://localhost:3000"]

app = Flask(__name__)
app.json = JSONProvider(app)
app.secret_key = os.environ["SECRET_KEY"]
bcrypt.init_app(app)
login_manager = LoginManager(app)


@login_manager.user_loader
def load_user(user_id: str) -> models.User | None:
    """Return the user of the session."""
    return models.User.get_or_none(models.User.id == user_id)


@login_manager.unauthorized_handler
def unauthorized() -> tuple[Response, int]:
    """Respond to anonymous requests."""
    return respond({}, 401, "Log in first")


@app.before_request
def connect() -> None:
    """Open a connection for the request."""
    g.db = models.database
    g.db.connect()


@app.after_request
def close(response: Response) -> Response:
    """Close the connection of the request."""
    g.db.close()
    return response


CORS(dogs, origins=ORIGINS, supports_credentials=True)
CORS(users, origins=ORIGINS, supports_credentials=True)
app.register_blueprint(dogs, url_prefix="/api/v1/dogs")
app.register_blueprint(users, url_prefix="/user")
