"""The database engine."""

import os

from sqlmodel import create_engine

# SQLAlchemy's dialect for psycopg 3.
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1))
