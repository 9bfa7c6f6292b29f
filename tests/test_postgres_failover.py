"""Failover: a lost PostgreSQL primary and the promotion of its replica, with two running servers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import TwoNodeCluster, call, registration_fields
from .postgres import Cluster, find_postgres


class Replica(Cluster):
    """A streaming replica of a running server, until it is promoted."""

    def __init__(self, primary: Cluster) -> None:
        super().__init__(synchronous_standby_names="")
        self.primary = primary

    def __enter__(self) -> Replica:
        self.programs, self.user = find_postgres()
        self.folder = Path(tempfile.mkdtemp(prefix="kennel-postgres-", dir="/tmp"))
        if self.user:
            shutil.chown(self.folder, self.user)
        # --write-recovery-conf makes it start as a replica.
        source = ("--host=127.0.0.1", f"--port={self.primary.port}", "--username=kennel")
        self.run("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", *source)
        self.parameters |= {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        with open(self.folder / "data" / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self.parameters.items())
        self.start()
        return self

    def promote(self) -> None:
        """Promote the replica to a primary, which accepts writes."""
        self.run("pg_ctl", "promote", "--wait", "--silent")


@pytest.fixture
def primary(system: None, postgresql: None) -> Iterator[Cluster]:
    """A server with synchronous replication: a commit waits for the replica."""
    with Cluster(synchronous_standby_names="*") as running:
        yield running


@pytest.fixture
def replica(primary: Cluster) -> Iterator[Replica]:
    with Replica(primary) as running:
        yield running


def test_servers_reconnect_to_promoted_replica(primary: Cluster, replica: Replica, tmp_path: Path) -> None:
    hosts = f"host=127.0.0.1,127.0.0.1&port={primary.port},{replica.port}"
    url = f"postgresql://kennel@/postgres?{hosts}&target_session_attrs=read-write"
    with TwoNodeCluster(tmp_path, DATABASE_URL=url, UPLOADS_URL=str(tmp_path / "uploads")) as servers:
        anna = call(servers.one, "POST", "/user/register", json=registration_fields("Anna"))
        cookies = anna.cookies.get_dict()
        dog = {"name": "Rex", "breed": "Poodle"}
        assert call(servers.one, "POST", "/api/v1/dogs", json=dog, cookies=cookies).status_code == 201

        primary.stop("immediate")
        rejected = [call(server, "POST", "/api/v1/dogs", json=dog, cookies=cookies) for server in servers.both]
        assert [response.status_code for response in rejected] == [503, 503]
        replica.promote()

        accepted = [call(server, "POST", "/api/v1/dogs", json=dog, cookies=cookies) for server in servers.both]
        assert [response.status_code for response in accepted] == [201, 201]
        assert len(call(servers.other, "GET", "/api/v1/dogs").json()["data"]) == 3
        assert call(servers.other, "GET", "/health/ready").status_code == 200
        primary.start()  # the fixture stops it
