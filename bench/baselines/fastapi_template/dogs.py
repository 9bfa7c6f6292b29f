"""Dogs: list, read, create, update."""

from typing import Any

from fastapi import APIRouter, HTTPException
from sqlmodel import col, func, select

from deps import CurrentUser, SessionDep
from models import Dog, DogCreate, DogPublic, DogsPublic, DogUpdate

router = APIRouter(prefix="/api/v1/dogs", tags=["dogs"])


@router.get("", response_model=DogsPublic)
def read_dogs(session: SessionDep, skip: int = 0, limit: int = 100) -> Any:
    """List some dogs, with the total count."""
    count = session.exec(select(func.count()).select_from(Dog)).one()
    dogs = session.exec(select(Dog).order_by(col(Dog.id)).offset(skip).limit(limit)).all()
    return DogsPublic(data=[DogPublic.model_validate(dog) for dog in dogs], count=count)


@router.get("/{dog_id}", response_model=DogPublic)
def read_dog(session: SessionDep, dog_id: int) -> Any:
    """Read a dog."""
    dog = session.get(Dog, dog_id)
    if not dog:
        raise HTTPException(status_code=404, detail="Dog not found")
    return dog


@router.post("", response_model=DogPublic, status_code=201)
def create_dog(session: SessionDep, current_user: CurrentUser, dog_in: DogCreate) -> Any:
    """Create a dog."""
    dog = Dog.model_validate(dog_in, update={"user_id": current_user.id})
    session.add(dog)
    session.commit()
    session.refresh(dog)
    return dog


@router.put("/{dog_id}", response_model=DogPublic)
def update_dog(session: SessionDep, current_user: CurrentUser, dog_id: int, dog_in: DogUpdate) -> Any:
    """Update a dog of the current user."""
    dog = session.get(Dog, dog_id)
    if not dog:
        raise HTTPException(status_code=404, detail="Dog not found")
    if dog.user_id != current_user.id:
        raise HTTPException(status_code=403, detail="Not enough permissions")
    dog.sqlmodel_update(dog_in.model_dump(exclude_unset=True))
    session.add(dog)
    session.commit()
    session.refresh(dog)
    return dog
