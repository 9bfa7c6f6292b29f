# Kennel in a container. With PostgreSQL and S3 it writes to nothing but /tmp:
#
#     make client/dist/index.html
#     podman build --tag kennel .
#     podman run --env-file .env --publish 8000:8000 --read-only --tmpfs /tmp --stop-timeout 20 kennel
#
# .env has SECRET_KEY, DATABASE_URL, UPLOADS_URL and the other settings. Large uploads are buffered in /tmp.
# With SQLite and local storage add --volume kennel:/srv/kennel/data, and to .env
# DATABASE_URL=sqlite:////srv/kennel/data/dogs.sqlite and UPLOADS_URL=/srv/kennel/data/uploads
#
# This image has not been built yet. The tests execute its steps without a container: they copy these files to an empty
# directory, and run CMD and HEALTHCHECK there.

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
# Write no bytecode at run time, and listen on all addresses of the container.
ENV PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=3)"]
# Graceful shutdown: requests in flight are answered first.
STOPSIGNAL SIGTERM
CMD ["python", "run.py"]
