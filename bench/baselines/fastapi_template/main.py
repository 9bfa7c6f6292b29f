"""The application."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

import dogs
import users

app = FastAPI(title="Kennel", openapi_url="/api/v1/openapi.json")
app.add_middleware(
    CORSMiddleware,
    allow_origins=["http://localhost:3000"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)
app.include_router(dogs.router)
app.include_router(users.router)
