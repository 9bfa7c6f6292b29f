# Kennel in a container. With the rows in PostgreSQL and the pictures on S3 it writes nothing but /tmp:
#
#     make client/dist/index.html
#     podman build --tag kennel .
#     podman run --env-file .env --publish 8000:8000 --read-only --tmpfs /tmp --stop-timeout 20 kennel
#
# .env holds SECRET_KEY, DATABASE_URL, UPLOADS_URL and the other settings. /tmp holds large uploads while they are read.
# With SQLite and a folder it needs --volume kennel:/srv/kennel/data, and in .env
# DATABASE_URL=sqlite:////srv/kennel/data/dogs.sqlite and UPLOADS_URL=/srv/kennel/data/uploads
#
# No such image was built yet, for want of a machine that builds them. The tests do by hand what the steps below say:
# they copy these files to an empty folder, and run the last command and the health check there.

FROM python:3.11-slim-bookworm

RUN useradd --system --uid 10001 --home-dir /srv/kennel kennel
WORKDIR /srv/kennel
COPY requirements.txt .
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
COPY pyproject.toml ./
COPY run.py ./
COPY api api
COPY models models
COPY schemas schemas
COPY client/dist client/dist
RUN install --directory --owner=kennel data

USER kennel
# No bytecode is written while it runs. HOST: a container is reached from outside of it.
ENV PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=3)"]
# The farewell of SIGTERM: what is under way is answered first.
STOPSIGNAL SIGTERM
CMD ["python", "run.py"]
