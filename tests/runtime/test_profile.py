"""Profiles: what they mean, and one line for everything that can be wrong in one."""

from dataclasses import asdict

import pytest

from smdown.errors import ConfigError
from smdown.runtime import Profile, load_profile
from smdown.runtime.clusters import ExistingCluster, LocalCluster, SerialCluster, parse_bytes
from smdown.runtime.profile import ALLOCATOR, TrainingPlace
from smdown.training.devices import Devices


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "profile.yaml"
        path.write_text(text)
        return path

    return _write


def test_without_a_profile_this_machine_is_used():
    profile = load_profile(None)
    assert profile == Profile()
    assert profile.cluster == LocalCluster(workers="auto", threads=1, memory="auto")
    assert profile.environment == ALLOCATOR


def test_serial_needs_no_file():
    assert load_profile("serial").cluster == SerialCluster()


def test_a_profile_says_what_it_means(write):
    profile = load_profile(
        write("version: 1\ncluster: {kind: local, workers: 3, threads: 2, memory: 4GiB}\nretries: 0\n")
    )
    assert profile.cluster == LocalCluster(workers=3, threads=2, memory=4 * 2**30)
    assert profile.retries == 0


def test_a_profile_says_what_training_runs_on(write):
    place = load_profile(write("training: {accelerator: gpu, devices: auto, num_nodes: 2, strategy: ddp}\n")).training
    assert place == TrainingPlace(accelerator="gpu", devices="auto", num_nodes=2, strategy="ddp")
    assert asdict(Devices(**place.model_dump())) == place.model_dump()
    assert asdict(Devices()) == Profile().training.model_dump()


def test_an_address_may_come_from_the_environment(write, monkeypatch):
    path = write(
        "# ${SMDOWN_NOTHING} in a comment is no matter\ncluster: {kind: existing, address: 'tcp://${SMDOWN_HOST}:1'}"
    )
    monkeypatch.setenv("SMDOWN_HOST", "10.0.0.5")
    assert load_profile(path).cluster == ExistingCluster(address="tcp://10.0.0.5:1")
    monkeypatch.delenv("SMDOWN_HOST")
    with pytest.raises(ConfigError, match=r"\$\{SMDOWN_HOST\} .* has no SMDOWN_HOST; set it"):
        load_profile(path)


@pytest.mark.parametrize(("text", "wanted"), [
    ("cluster: {kind: local, worker: 2}", r"unknown key .*worker'; legal .*dashboard.*memory.*threads.*workers"),
    ("queue: {kind: local}", r"key 'queue'; legal ones here are cluster, environment, retries, tls, training, version"),
    ("cluster: {kind: lsf}", r"'lsf'.*'serial', 'local', 'slurm', 'pbs', 'ssh', 'kubernetes', 'existing'"),
    ("cluster: {kind: existing}", r"cluster\.address: Field required"),
    ("cluster: {workers: 2}", "cluster: got no kind, which says what this is$"),
    ("cluster: {kind: local, workers: 0}", r"cluster\.workers: .*greater than 0, or: Input should be 'auto', got '0'$"),
    ("cluster: {kind: slurm, memory: 1GiB, walltime: '1:00:00', workers: {minimum: 2}}",
     r"cluster\.workers\.maximum: Field required$"),
    ("cluster: {kind: local, threads: 0}", r"threads.*greater than or equal to 1, got '0'"),
    ("cluster: {kind: local, memory: plenty}", r"memory: a size is a number and one of .* as in 4GiB, got 'plenty'"),
    ("cluster: {kind: local, memory: 1.5.2GiB}", r"memory: a size is"),
    ("cluster: {kind: local, memory: [4GiB]}", r"memory: a size is"),
    ("cluster: {kind: local, memory: 0}", r"memory.*greater than 0"),
    ("training: {devices: 0}", r"training.devices.*greater than 0"),
    ("training: {device: 1}", r"training.*device"),
    ("version: 2", r"version: Input should be 1, got '2'"),
    ("retries: -1", r"retries: .*got '-1'"),
    ("- a list", r"holds no keys; see cluster/profiles/"),
    ("", r"holds no keys"),
    ("cluster: {kind: [}", r"not YAML"),
    ("cluster: {kind: 2020-13-45}", r"not YAML: month must be in"),
    ("environment: &a {X: *a}", r"holds itself"),
    ("[" * 5000, r"not YAML: .*recursion"),
    ("cluster: {kind: local, memory: " + "9" * 400 + "GiB}", r"memory: a size is"),
    ("cluster: {kind: local, memory: true}", r"memory: a size is"),
    ("cluster: {kind: local, dashboard: 70000}", r"dashboard: .*65535, got '70000'"),
    ('environment: {"A=B": c}', r"environment.*match pattern"),
    ('environment: {A: "c\\0d"}', r"environment.A: .*match pattern"),
])  # fmt: skip
def test_a_mistake_is_one_line_that_helps(write, text, wanted):
    with pytest.raises(ConfigError, match=wanted) as caught:
        load_profile(write(text))
    assert "\n" not in str(caught.value)
    assert "profile.yaml" in str(caught.value)


def test_a_missing_or_binary_file_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="No such file or directory"):
        load_profile(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="it is not text"):
        load_profile(tmp_path / "binary.yaml")


@pytest.mark.parametrize(("text", "size"), [
    ("4GiB", 4 * 2**30), ("512 MiB", 512 * 2**20), ("1.5gb", 1_500_000_000), ("100", 100), (7, 7), ("2TiB", 2**41),
])  # fmt: skip
def test_sizes(text, size):
    assert parse_bytes(text) == size
