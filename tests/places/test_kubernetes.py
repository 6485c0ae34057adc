"""What the Dask operator is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from smdown.errors import ConfigError, ResourceError
from smdown.runtime import load_profile, open_client
from smdown.runtime.kubernetes import cluster_resource

PROFILE = Path(__file__).parents[2] / "cluster" / "profiles" / "kubernetes.yaml"


@pytest.fixture
def profile(monkeypatch):
    monkeypatch.setenv("SMDOWN_IMAGE", "registry.example.org/smdown:1")
    return load_profile(PROFILE)


def test_pods_get_what_the_profile_says(profile):
    cluster = profile.cluster.model_copy(update={"gpus": 1, "secret": "bucket", "threads": 2})
    made = cluster_resource(cluster, profile)
    assert (made["apiVersion"], made["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    (worker,) = made["spec"]["worker"]["spec"]["containers"]
    assert worker["resources"]["limits"] == worker["resources"]["requests"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert worker["resources"]["limits"]["cpu"] == "2"
    assert int(worker["resources"]["limits"]["memory"]) > 6 * 2**30, "the process needs more than Dask counts"
    assert worker["args"][worker["args"].index("--memory-limit") + 1] == str(6 * 2**30)
    assert {"secretRef": {"name": "bucket"}} in worker["envFrom"]
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in worker["env"]
    (scheduler,) = made["spec"]["scheduler"]["spec"]["containers"]
    assert scheduler["image"] == worker["image"] == "registry.example.org/smdown:1"
    assert made["spec"]["scheduler"]["service"]["type"] == "ClusterIP", "reached through Kubernetes alone"


def test_between_pods_nothing_is_encrypted_and_that_must_be_said(profile):
    with pytest.raises(ResourceError, match="kind kubernetes, whose workers are on other machines, without TLS"):
        open_client(profile).__enter__()


def test_without_the_library_it_says_what_to_install(profile, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dask_kubernetes.operator", None)
    with pytest.raises(ConfigError, match=r"smdown\[kubernetes\]"), open_client(profile, insecure=True):
        pass
