"""Who may speak to a scheduler, and a whole run on one that was started by hand."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import dask
import pytest
from distributed import Client
from distributed.security import Security

from smdown.cubes import open_cube
from smdown.errors import ConfigError, ResourceError
from smdown.plan import Plan
from smdown.runtime import Profile, execute, load_profile, open_client, open_progress
from smdown.runtime.certificates import make_certificates
from smdown.runtime.clusters import ExistingCluster
from smdown.runtime.security import check_encrypted, is_loopback, tls_config
from smdown.testing import TrialTask, run_trial
from tests.pipeline import make_inputs, smdown, write_project
from tests.places.hosts import by_hand

QUIET = open_progress(quiet=True)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "files", 2)


@pytest.fixture(scope="module")
def address(tls, tmp_path_factory):
    with by_hand(tls, tmp_path_factory.mktemp("workers")) as found:
        yield found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("region") / "inputs")


def joined(address, tls):
    return Profile(cluster=ExistingCluster(address=address), tls=str(tls))


def test_certificates_are_for_their_owner_alone(tls):
    assert stat.S_IMODE(tls.stat().st_mode) == 0o700
    assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in tls.iterdir()} == dict.fromkeys(
        ("ca.pem", "cert.pem", "key.pem"), 0o600
    )
    with pytest.raises(ConfigError, match="which holds certificates; name a new folder"):
        make_certificates(tls)
    with pytest.raises(ConfigError, match=r"cannot be written \(.*\); name another folder"):
        make_certificates(tls / "key.pem" / "in a file")


def test_a_folder_that_is_there_keeps_its_permissions(tmp_path):
    tmp_path.chmod(0o755)
    make_certificates(tmp_path, 1)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="got --days 99999999, which no calendar holds"):
        make_certificates(tmp_path / "never", 99_999_999)
    assert not (tmp_path / "never").exists()


def test_certificates_that_are_missing_broken_or_over_are_named(tls, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"has no ca\.pem; make the files with smdown cluster certs"):
        tls_config(str(tmp_path))
    for name in ("ca.pem", "key.pem"):
        (tmp_path / name).write_bytes((tls / name).read_bytes())
    (tmp_path / "cert.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"cert\.pem, which is no certificate"):
        tls_config(str(tmp_path))
    (tmp_path / "cert.pem").write_bytes((tls / "cert.pem").read_bytes())
    assert tls_config(str(tmp_path))
    other = make_certificates(tmp_path / "other", 1)
    for name in ("ca.pem", "key.pem"):
        good = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes((other / name).read_bytes() if name == "key.pem" else b"nothing")
        with pytest.raises(ConfigError, match=rf"{name}, which does not belong to cert\.pem beside it"):
            tls_config(str(tmp_path))
        (tmp_path / name).write_bytes(good)
    old = make_certificates(tmp_path / "old", 1)
    monkeypatch.setattr("smdown.runtime.security.datetime", _InAYear)
    with pytest.raises(ConfigError, match="which ended on"):
        tls_config(str(old))


class _InAYear:
    from datetime import datetime as _real

    fromtimestamp = _real.fromtimestamp

    @classmethod
    def now(cls, zone):
        from datetime import timedelta

        return cls._real.now(zone) + timedelta(days=365)


@pytest.mark.parametrize(("address", "alone"), [
    ("tcp://127.0.0.1:8786", True), ("tcp://127.8.8.8:1", True), ("tcp://[::1]:8786", True), ("inproc://a/b", True),
    ("localhost:8786", True), ("127.0.0.1", True), ("tcp://10.0.0.5:8786", False), ("tcp://node1:8786", False),
    ("tcp://0.0.0.0:8786", False), ("tcp://localhost.example.org:1", False), ("", False),
])  # fmt: skip
def test_which_addresses_are_this_machine_alone(address, alone):
    assert is_loopback(address) is alone


def test_another_machine_without_tls_is_refused_unless_that_is_asked_for():
    with pytest.raises(ResourceError, match=r"10\.0\.0\.5:8786, which is not on this machine, without TLS"):
        check_encrypted("tcp://10.0.0.5:8786", None, insecure=False)
    check_encrypted("tcp://10.0.0.5:8786", None, insecure=True)
    check_encrypted("tcp://127.0.0.1:8786", None, insecure=False)
    check_encrypted("tls://10.0.0.5:8786", "folder", insecure=False)
    with pytest.raises(ConfigError, match="names no certificates; add tls: FOLDER"):
        check_encrypted("tls://10.0.0.5:8786", None, insecure=True)
    with pytest.raises(ConfigError, match="write the address as tls://"):
        check_encrypted("tcp://10.0.0.5:8786", "folder", insecure=True)


def test_the_command_refuses_it_too(tmp_path, inputs):
    profile = tmp_path / "profile.yaml"
    profile.write_text("cluster: {kind: existing, address: 'tcp://192.0.2.1:8786'}\n")
    config = write_project(tmp_path / "project.yaml", inputs)
    status, _, said = smdown("ingest", config, "--workdir", tmp_path / "w", "--cluster", profile)
    assert status == 2
    assert "without TLS" in said
    assert not (tmp_path / "w" / "sources").exists()


def test_the_environment_names_the_certificates_where_a_profile_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("SMDOWN_TLS_DIR", "/certificates")
    path = tmp_path / "profile.yaml"
    for text, wanted in (
        ("{kind: existing, address: 'tls://10.0.0.5:1'}", "/certificates"),
        ("{kind: existing, address: 'tcp://127.0.0.1:1'}", None),
        ("{kind: local}", None),
    ):
        path.write_text(f"cluster: {text}\n")
        assert load_profile(path).tls == wanted
    path.write_text("cluster: {kind: local}\ntls: /certificates\n")
    with pytest.raises(ConfigError, match="tls is of no use with kind local: nothing leaves this machine"):
        load_profile(path)


def test_only_a_certificate_of_the_same_authority_opens(address, tls, tmp_path):
    with open_client(joined(address, tls)) as client:
        assert client.submit(sum, (1, 2)).result() == 3
    other = make_certificates(tmp_path / "other", 2)
    with pytest.raises(ResourceError, match="got no answer from the scheduler"):
        _quickly(joined(address, other))
    assert dask.config.get("scheduler", None) is None, "and arrays are computed as before"
    for security in (None, Security(tls_ca_file=str(tls / "ca.pem"), require_encryption=True)):
        with pytest.raises((OSError, TimeoutError, TypeError, ValueError)):
            Client(address, security=security, timeout="3s", set_as_default=False)


def _quickly(profile):
    with dask.config.set({"distributed.comm.timeouts.connect": "3s"}), open_client(profile):
        pass


def test_workers_by_hand_have_the_allocator_of_the_profile(address, tls):
    with open_client(joined(address, tls)) as client:
        client.wait_for_workers(2)
        found = client.run(os.getenv, "MALLOC_TRIM_THRESHOLD_")
    assert set(found.values()) == {"17179869184"}


def test_a_run_loses_all_of_its_workers_and_ends_in_the_same_bytes(tls, inputs, tmp_path):
    """Workers live a few seconds each, and are replaced by their nannies; the longest task takes less than that."""
    config = write_project(tmp_path / "project.yaml", inputs)
    options = ("--lifetime", "12s", "--lifetime-stagger", "4s", "--lifetime-restart")
    for stage in ("ingest", "features", "train"):
        assert smdown(stage, config, "--workdir", tmp_path / "w", "--cluster", "serial")[0] == 0
    with by_hand(tls, tmp_path / "scratch", *options) as address:
        profile = tmp_path / "profile.yaml"
        profile.write_text(f"cluster: {{kind: existing, address: '{address}'}}\ntls: {tls}\nretries: 5\n")
        with open_client(load_profile(profile)) as client:
            client.wait_for_workers(2)
            first = set(client.run(os.getpid).values())
            work = tmp_path / "trial"
            work.mkdir()
            tasks = tuple(TrialTask(f"t{i:02}", str(work), seconds=0.5) for i in range(60))
            assert execute(Plan("trial", tasks, run_trial, 1), client, QUIET).failed == {}
            client.wait_for_workers(2)
            last = set(client.run(os.getpid).values())
        assert not first & last, "every worker was another one at the end"
        assert smdown("predict", config, "--workdir", tmp_path / "w", "--cluster", profile)[0] == 0
    there = tree_of(tmp_path / "w" / "mosaic.zarr")
    for name in ("sources", "features", "models"):
        (tmp_path / "v").mkdir(exist_ok=True)
        (tmp_path / "v" / name).symlink_to(tmp_path / "w" / name, target_is_directory=True)
    assert smdown("predict", config, "--workdir", tmp_path / "v", "--cluster", "serial")[0] == 0
    assert tree_of(tmp_path / "v" / "mosaic.zarr") == there
    assert open_cube(str(tmp_path / "w" / "mosaic.zarr"), complete=True).done()


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*/c/*")) if p.is_file()}
