"""Dependencies of the endpoints."""

from collections.abc import Generator
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import OAuth2PasswordBearer
from pydantic import ValidationError
from sqlmodel import Session

from database import engine
from models import TokenPayload, User
from security import ALGORITHM, SECRET_KEY

oauth2 = OAuth2PasswordBearer(tokenUrl="/user/login")


def get_db() -> Generator[Session, None, None]:
    """Provide a database session for one request."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_db)]
TokenDep = Annotated[str, Depends(oauth2)]


def get_current_user(session: SessionDep, token: TokenDep) -> User:
    """Return the user of the token."""
    try:
        payload = TokenPayload(**jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM]))
    except (jwt.InvalidTokenError, ValidationError):
        raise HTTPException(status_code=403, detail="Could not validate credentials") from None
    user = session.get(User, payload.sub)
    if not user:
        raise HTTPException(status_code=404, detail="User not found")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]
