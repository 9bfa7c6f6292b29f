"""Users: login and profile."""

from typing import Any

from fastapi import APIRouter, HTTPException
from sqlmodel import select

from deps import CurrentUser, SessionDep
from models import Login, Token, User, UserPublic
from security import create_access_token, password_hash

router = APIRouter(prefix="/user", tags=["users"])


@router.post("/login")
def login(session: SessionDep, login_in: Login) -> Token:
    """Return an access token."""
    user = session.exec(select(User).where(User.username == login_in.username)).first()
    if not user or not password_hash.verify(login_in.password, user.hashed_password):
        raise HTTPException(status_code=400, detail="Incorrect username or password")
    return Token(access_token=create_access_token(user.id))


@router.get("/profile", response_model=UserPublic)
def read_profile(current_user: CurrentUser) -> Any:
    """Return the current user."""
    return current_user
